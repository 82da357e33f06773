//! An IP list: entries that can be disabled. A disabled entry counts as absent.

use ipnet::IpNet;
use latchkey_policy::address::parse_entry;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::schema::{formatted, object};

/// The maximum number of entries in a list.
pub const MAX_ENTRIES: usize = 5_000;

/// The entries, in the given order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct IpList(Vec<Entry>);

/// `{"cidr": "192.0.2.0/24", "enabled": true}`, or just `"192.0.2.0/24"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = IpEntry, description = "An address or range. A single address has its full prefix \
length.")]
pub struct Entry {
    #[schema(value_type = String, example = "192.0.2.0/24")]
    cidr: IpNet,
    enabled: bool,
}

impl IpList {
    /// Returns the number of entries, enabled or not.
    pub fn len(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the ranges of enabled entries.
    pub fn enabled(&self) -> Vec<IpNet> {
        self.0
            .iter()
            .filter(|entry| entry.enabled)
            .map(|entry| entry.cidr)
            .collect()
    }
}

impl<'de> Deserialize<'de> for IpList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

/// The schema for requests; responses always contain objects.
impl PartialSchema for IpList {
    fn schema() -> RefOr<Schema> {
        let range = || {
            formatted("ip-range").description(Some(
                "An IPv4 or IPv6 address, or a range in CIDR notation.",
            ))
        };
        let enabled = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .default(Some(true.into()));
        let entry = object()
            .property("cidr", range())
            .required("cidr")
            .property("enabled", enabled);
        let entries = ArrayBuilder::new().items(OneOfBuilder::new().item(range()).item(entry));
        let description = "Addresses and ranges. A disabled entry counts as absent.";

        entries
            .max_items(Some(MAX_ENTRIES))
            .description(Some(description))
            .into()
    }
}

impl ToSchema for IpList {}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = IpList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of IP addresses and ranges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<IpList, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            if entries.len() == MAX_ENTRIES {
                return Err(de::Error::custom(format_args!(
                    "must have at most {MAX_ENTRIES} entries"
                )));
            }
            entries.push(entry);
        }
        Ok(IpList(entries))
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address or range, or an object with `cidr` and `enabled`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry {
            cidr: parse_entry(text).map_err(E::custom)?,
            enabled: true,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Entry, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            cidr: String,
            #[serde(default = "yes")]
            enabled: bool,
        }
        fn yes() -> bool {
            true
        }

        let Fields { cidr, enabled } = Fields::deserialize(MapAccessDeserializer::new(fields))?;
        Ok(Entry {
            enabled,
            ..self.visit_str(&cidr)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<IpList, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn entries_may_be_texts_or_objects() {
        let list = read(
            r#"["192.0.2.1", {"cidr": "10.0.0.0/8"}, {"enabled": false, "cidr": "2001:db8::/32"}]"#,
        )
        .unwrap();
        assert_eq!(
            serde_json::to_string(&list).unwrap(),
            r#"[{"cidr":"192.0.2.1/32","enabled":true},{"cidr":"10.0.0.0/8","enabled":true},{"cidr":"2001:db8::/32","enabled":false}]"#
        );
        assert_eq!(
            read(&serde_json::to_string(&list).unwrap()),
            Ok(list.clone())
        );
        assert_eq!(list.enabled().len(), 2);
    }

    #[test]
    fn invalid_entry_is_refused_with_reason() {
        for (json, reason) in [
            (
                r#"["example.com"]"#,
                "must be an IP address, or a range such as",
            ),
            (
                r#"["10.0.0.1/8"]"#,
                "has bits set after its prefix; its range is 10.0.0.0/8",
            ),
            (
                r#"[{"cidr": "10.0.0.1/8"}]"#,
                "has bits set after its prefix",
            ),
            (
                r#"[{"cidr": "10.0.0.0/8", "on": true}]"#,
                "unknown field `on`",
            ),
            (r#"[{"enabled": true}]"#, "missing field `cidr`"),
            (r#"[{"cidr": "10.0.0.0/8", "enabled": 1}]"#, "invalid type"),
            ("[7]", "expected an IP address or range"),
            (r#""10.0.0.1""#, "expected a list of IP addresses"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }

        let many = format!("[{}]", vec![r#""10.0.0.1""#; MAX_ENTRIES + 1].join(","));
        assert!(read(&many).unwrap_err().contains("at most 5000 entries"));
    }
}
