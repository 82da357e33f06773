//! The expiry of a key in requests.

use jiff::Timestamp;
use latchkey_model::schema::{number, text};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, OneOfBuilder, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use super::error::ApiError;

/// The first invalid expiry, 9999-01-01T00:00:00Z. Earlier times have a year of four digits.
const BEFORE: i64 = 253_370_764_800;

/// An expiry in Unix seconds, given as such or as RFC 3339. Fractions of a second are dropped.
pub(crate) struct Expiry(i64);

impl Expiry {
    /// Returns the expiry in Unix seconds, if it is valid at `now`.
    pub(crate) fn check(self, field: &str, now: i64) -> Result<i64, ApiError> {
        let Self(second) = self;
        if second <= now {
            return Err(ApiError::field(field, "must be in the future"));
        }
        if second >= BEFORE {
            return Err(ApiError::field(field, "must be before the year 9999"));
        }
        Ok(second)
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpiryVisitor)
    }
}

impl PartialSchema for Expiry {
    fn schema() -> RefOr<Schema> {
        let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        let second = number(1).exclusive_maximum(Some(BEFORE));
        let description =
            "The time from which the key is refused: RFC 3339 or Unix seconds, in the future.";
        OneOfBuilder::new()
            .item(time)
            .item(second)
            .description(Some(description))
            .into()
    }
}

impl ToSchema for Expiry {}

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
        // A value that does not fit is far beyond the last allowed year.
        Ok(Expiry(i64::try_from(second).unwrap_or(i64::MAX)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Expiry, E> {
        from_rfc3339(text)
            .map(Expiry)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// Parses a time as RFC 3339 to Unix seconds.
pub(crate) fn from_rfc3339(text: &str) -> Option<i64> {
    // The check is needed because jiff also reads shorter forms of ISO 8601, and time zones in
    // brackets.
    let full = text
        .as_bytes()
        .get(10)
        .is_some_and(|byte| b"Tt ".contains(byte))
        && text.len() >= 20;
    let time: Timestamp = text.parse().ok().filter(|_| full && !text.ends_with(']'))?;
    Some(time.as_second() - i64::from(time.subsec_nanosecond() < 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(value: &str) -> Result<i64, String> {
        let expiry: Expiry = serde_json::from_str(value).map_err(|error| error.to_string())?;
        expiry
            .check("expires_at", 1_800_000_000)
            .map_err(|error| match error {
                ApiError::Invalid { error, .. } => error,
                other => format!("{other:?}"),
            })
    }

    #[test]
    fn an_expiry_is_rfc_3339_or_unix_seconds() {
        assert_eq!(expiry("1800000001"), Ok(1_800_000_001));
        assert_eq!(expiry(r#""2030-01-01T00:00:00Z""#), Ok(1_893_456_000));
        assert_eq!(
            expiry(r#""2030-01-01T02:00:00.9+02:00""#),
            Ok(1_893_456_000)
        );
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
            assert!(
                error.contains("expected a time as RFC 3339 or in whole Unix seconds"),
                "{refused}: {error}"
            );
        }
    }

    #[test]
    fn an_expiry_is_in_the_future_and_has_four_digits() {
        for past in ["1800000000", "0", "-1", r#""2020-01-01T00:00:00Z""#] {
            assert_eq!(
                expiry(past).unwrap_err(),
                "Field `expires_at` must be in the future."
            );
        }
        assert_eq!(expiry("253370764799"), Ok(253_370_764_799));
        for late in [
            "253370764800",
            "18446744073709551615",
            r#""9999-01-01T00:00:00Z""#,
        ] {
            assert_eq!(
                expiry(late).unwrap_err(),
                "Field `expires_at` must be before the year 9999."
            );
        }
    }
}
