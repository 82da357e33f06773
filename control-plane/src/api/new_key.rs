//! What a request for a key may say, and what each part of it must be.

use jiff::Timestamp;
use latchkey_policy::key::Environment;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use std::fmt;

use super::error::ApiError;
use crate::ip_list::IpList;
use crate::tier::Tier;

const MAX_NAME_LEN: usize = 100;
const MAX_DESCRIPTION_LEN: usize = 500;

/// 9999-01-01T00:00:00Z: up to here every time can be written with a year of four digits.
const EXPIRY_BEFORE: i64 = 253_370_764_800;

/// As it was sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    name: String,
    description: Option<String>,
    environment: Option<String>,
    tier: Option<String>,
    expires_at: Option<Expiry>,
    #[serde(default)]
    allowed_ips: IpList,
    #[serde(default)]
    denied_ips: IpList,
}

/// With every part checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Specification {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) environment: Environment,
    pub(super) tier: Option<Tier>,
    pub(super) expires_at: Option<i64>,
    pub(super) allowed_ips: IpList,
    pub(super) denied_ips: IpList,
}

impl Request {
    pub(super) fn check(self, now: i64) -> Result<Specification, ApiError> {
        let name = self.name.trim().to_owned();
        if !(1..=MAX_NAME_LEN).contains(&name.chars().count()) {
            return Err(ApiError::field("name", format_args!("must have 1 to {MAX_NAME_LEN} characters")));
        }
        if name.chars().any(char::is_control) {
            return Err(ApiError::field("name", "must not have control characters"));
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION_LEN) {
            let reason = format_args!("must have at most {MAX_DESCRIPTION_LEN} characters");
            return Err(ApiError::field("description", reason));
        }
        let environment = match self.environment {
            None => Environment::Live,
            Some(word) => {
                Environment::parse(&word).ok_or_else(|| ApiError::field("environment", "must be one of live, test"))?
            }
        };
        let tier = match self.tier {
            None => None,
            Some(word) => Some(
                Tier::parse(&word)
                    .ok_or_else(|| ApiError::field("tier", "must be one of free, basic, pro, enterprise"))?,
            ),
        };
        let expires_at = self.expires_at.map(|Expiry(second)| second);
        if expires_at.is_some_and(|second| second <= now) {
            return Err(ApiError::field("expires_at", "must be in the future"));
        }
        if expires_at.is_some_and(|second| second >= EXPIRY_BEFORE) {
            return Err(ApiError::field("expires_at", "must be before the year 9999"));
        }
        Ok(Specification {
            name,
            description: self.description,
            environment,
            tier,
            expires_at,
            allowed_ips: self.allowed_ips,
            denied_ips: self.denied_ips,
        })
    }
}

/// Unix seconds, sent as they are or as RFC 3339. Fractions of a second are cut off.
struct Expiry(i64);

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpiryVisitor)
    }
}

struct ExpiryVisitor;

impl Visitor<'_> for ExpiryVisitor {
    type Value = Expiry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as RFC 3339 or in whole Unix seconds")
    }

    fn visit_i64<E: de::Error>(self, second: i64) -> Result<Expiry, E> {
        Ok(Expiry(second))
    }

    fn visit_u64<E: de::Error>(self, second: u64) -> Result<Expiry, E> {
        // Whatever does not fit is far beyond the last year that is allowed.
        Ok(Expiry(i64::try_from(second).unwrap_or(i64::MAX)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Expiry, E> {
        let refused = || E::invalid_value(de::Unexpected::Str(text), &self);
        // jiff also reads shorter forms of ISO 8601, and time zones in brackets.
        let full = text.as_bytes().get(10).is_some_and(|byte| b"Tt ".contains(byte)) && text.len() >= 20;
        let time: Timestamp = text.parse().ok().filter(|_| full && !text.ends_with(']')).ok_or_else(refused)?;
        Ok(Expiry(time.as_second() - i64::from(time.subsec_nanosecond() < 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn check(json: &str) -> Result<Specification, String> {
        let request: Request = serde_json::from_str(json).map_err(|error| error.to_string())?;
        request.check(NOW).map_err(|error| match error {
            ApiError::Invalid { error, .. } => error,
            other => format!("{other:?}"),
        })
    }

    fn expiry(value: &str) -> Result<Option<i64>, String> {
        check(&format!(r#"{{"name":"CI","expires_at":{value}}}"#)).map(|checked| checked.expires_at)
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let checked = check(r#"{"name":"  CI\u00e9  ","description":null}"#).unwrap();
        assert_eq!(checked.name, "CIé");
        assert_eq!(checked.environment, Environment::Live);
        assert_eq!((checked.description, checked.tier, checked.expires_at), (None, None, None));
    }

    #[test]
    fn an_expiry_is_rfc_3339_or_unix_seconds() {
        assert_eq!(expiry("1800000001"), Ok(Some(1_800_000_001)));
        assert_eq!(expiry(r#""2030-01-01T00:00:00Z""#), Ok(Some(1_893_456_000)));
        assert_eq!(expiry(r#""2030-01-01T02:00:00.9+02:00""#), Ok(Some(1_893_456_000)));
        assert_eq!(expiry("null"), Ok(None));
        for refused in [
            "1800000001.5",
            "true",
            r#""tomorrow""#,
            r#""2030-01-01""#,
            r#""2030-01-01T00:00:00""#,
            r#""2030-01-01T00Z""#,
            r#""2030-01-01T00:00:00+00:00[UTC]""#,
        ] {
            let error = expiry(refused).unwrap_err();
            assert!(error.contains("expected a time as RFC 3339 or in whole Unix seconds"), "{refused}: {error}");
        }
    }

    #[test]
    fn an_expiry_is_in_the_future_and_has_four_digits() {
        for past in ["1800000000", "0", "-1", r#""2020-01-01T00:00:00Z""#] {
            assert_eq!(expiry(past).unwrap_err(), "Field `expires_at` must be in the future.");
        }
        assert_eq!(expiry("253370764799"), Ok(Some(253_370_764_799)));
        for late in ["253370764800", "18446744073709551615", r#""9999-01-01T00:00:00Z""#] {
            assert_eq!(expiry(late).unwrap_err(), "Field `expires_at` must be before the year 9999.");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let name = |len| check(&format!(r#"{{"name":"{}"}}"#, "é".repeat(len)));
        assert!(name(100).is_ok());
        assert_eq!(name(101).unwrap_err(), "Field `name` must have 1 to 100 characters.");
        let description = |len| check(&format!(r#"{{"name":"CI","description":"{}"}}"#, "é".repeat(len)));
        assert!(description(500).is_ok());
        assert_eq!(description(501).unwrap_err(), "Field `description` must have at most 500 characters.");
    }
}
