//! Bounds of the keys that a key creates, which replace the key's own attributes. They are for keys
//! that provision keys for others.

use latchkey_policy::key::Environment;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::ip_list::IpList;
use crate::json::{Whole, given};
use crate::limits::DeclaredLimits;
use crate::schema::{matching, number, object, one_of};

/// The maximum number of days until a new key expires: 100 years.
pub const MAX_EXPIRY_DAYS: u32 = 36_500;

/// The maximum number of entries of `addresses`, because key lists show all of them.
const MAX_ADDRESSES: u64 = 64;

const ALL: &str = "all";

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// Bounds of new keys. For an omitted field, the key's own attribute is the bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Issues {
    /// The highest tier of new keys.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The highest limits of new keys. Windows without a limit here are bounded by the key's own
    /// limit, or else by the tier.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub limits: Option<DeclaredLimits>,
    /// The addresses from which new keys can be used.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Addresses>,
    /// New keys expire within this number of days.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub expiry_days: Option<Whole>,
    /// The environments of new keys; the first is the default.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<String>>,
}

/// `"all"`, or a list of addresses and ranges, as an allow list has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// Any address.
    All,
    /// Only these addresses.
    Listed(IpList),
}

impl Issues {
    /// Checks all fields. Fails with the first invalid field and the requirement that it violates.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if *self == Self::default() {
            return Err(("issues", "must have at least one field".to_owned()));
        }
        if let Some(Addresses::Listed(list)) = &self.addresses {
            if list.enabled().is_empty() {
                return Err((
                    "issues.addresses",
                    "must be \"all\" or have at least one enabled entry".to_owned(),
                ));
            }
            if list.len() > MAX_ADDRESSES {
                return Err((
                    "issues.addresses",
                    format!("must have at most {MAX_ADDRESSES} entries"),
                ));
            }
        }
        if self
            .expiry_days
            .is_some_and(|Whole(days)| !(1..=MAX_EXPIRY_DAYS).contains(&days))
        {
            return Err((
                "issues.expiry_days",
                format!("must be a whole number from 1 to {MAX_EXPIRY_DAYS}"),
            ));
        }

        let known = |words: &[String]| words.iter().all(|word| Environment::parse(word).is_some());
        if self
            .environments
            .as_ref()
            .is_some_and(|words| !(1..=2).contains(&words.len()) || !known(words))
        {
            return Err((
                "issues.environments",
                "must name live, test or both".to_owned(),
            ));
        }
        Ok(())
    }

    /// Returns the allowed environments of new keys, or `None` if the key's own is the bound.
    pub fn environments(&self) -> Option<Vec<Environment>> {
        Some(
            self.environments
                .as_ref()?
                .iter()
                .filter_map(|word| Environment::parse(word))
                .collect(),
        )
    }

    /// Returns the latest expiry of a key that is created at `now`, or `None` if the key's own is
    /// the bound.
    pub fn expires_at(&self, now: i64) -> Option<i64> {
        let Whole(days) = self.expiry_days?;
        Some(now.saturating_add(i64::from(days).saturating_mul(SECONDS_A_DAY)))
    }
}

impl PartialSchema for Issues {
    fn schema() -> RefOr<Schema> {
        let environments = ["live", "test"];
        let schema = object()
            .property(
                "tier",
                matching("^[a-z0-9_-]{1,64}$").description(Some("The highest tier of new keys.")),
            )
            .property("limits", DeclaredLimits::schema())
            .property("addresses", Addresses::schema())
            .property("expiry_days", number(1).maximum(Some(MAX_EXPIRY_DAYS)))
            .property(
                "environments",
                ArrayBuilder::new()
                    .items(one_of(environments))
                    .min_items(Some(1))
                    .max_items(Some(environments.len())),
            );
        let description = "Limits for the new keys that the key creates, in place of its own \
        attributes. The key's own attributes apply to omitted fields.";

        schema.description(Some(description)).into()
    }
}

impl ToSchema for Issues {
    fn name() -> Cow<'static, str> {
        "Issues".into()
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str(ALL),
            Self::Listed(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressesVisitor)
    }
}

impl PartialSchema for Addresses {
    fn schema() -> RefOr<Schema> {
        let schema = OneOfBuilder::new()
            .item(one_of([ALL]))
            .item(IpList::schema());
        schema
            .description(Some(
                "The addresses from which new keys can be used: \"all\", or addresses and ranges.",
            ))
            .into()
    }
}

struct AddressesVisitor;

impl<'de> Visitor<'de> for AddressesVisitor {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"all\" or a list of IP addresses and ranges")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Addresses, E> {
        if word == ALL {
            Ok(Addresses::All)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(word), &self))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Addresses, A::Error> {
        IpList::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Addresses::Listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Issues, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn issues_round_trip_through_json() {
        for json in [
            r#"{"tier":"pro"}"#,
            r#"{"limits":{"minute":5},"addresses":"all","expiry_days":30,"environments":["test","live"]}"#,
            r#"{"addresses":[{"cidr":"10.0.0.0/8","enabled":true}]}"#,
        ] {
            let issues = read(json).unwrap();
            issues.check().unwrap();
            assert_eq!(serde_json::to_string(&issues).unwrap(), json);
        }
    }

    #[test]
    fn invalid_issues_name_the_field() {
        for (json, field) in [
            ("{}", "issues"),
            (r#"{"addresses":[]}"#, "issues.addresses"),
            (
                r#"{"addresses":[{"cidr":"10.0.0.0/8","enabled":false}]}"#,
                "issues.addresses",
            ),
            (r#"{"expiry_days":0}"#, "issues.expiry_days"),
            (r#"{"expiry_days":36501}"#, "issues.expiry_days"),
            (r#"{"environments":[]}"#, "issues.environments"),
            (r#"{"environments":["prod"]}"#, "issues.environments"),
        ] {
            assert_eq!(read(json).unwrap().check().unwrap_err().0, field, "{json}");
        }

        for json in [
            r#"{"tier":null}"#,
            r#"{"addresses":"some"}"#,
            r#"{"scope":"all"}"#,
            r#"{"addresses":["x"]}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
