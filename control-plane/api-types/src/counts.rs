//! Counts by name as a JSON object that keeps their order.

use serde::Serializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;

pub(crate) fn serialize<S: Serializer>(
    counts: &[(String, u64)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(name, count)| (name, count)))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, u64)>, D::Error> {
    deserializer.deserialize_map(CountsVisitor)
}

struct CountsVisitor;

impl<'de> Visitor<'de> for CountsVisitor {
    type Value = Vec<(String, u64)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of counts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut counts = Vec::new();
        while let Some(count) = fields.next_entry()? {
            counts.push(count);
        }
        Ok(counts)
    }
}
