//! A time in the file.

use jiff::Timestamp;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;

/// A time in Unix seconds, parsed from a number or RFC 3339. Spans are refused, so that the file
/// means the same when it is applied later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::apply) struct Second(pub(in crate::apply) i64);

impl<'de> Deserialize<'de> for Second {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecondVisitor)
    }
}

struct SecondVisitor;

impl Visitor<'_> for SecondVisitor {
    type Value = Second;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as RFC 3339 or in whole Unix seconds")
    }

    fn visit_i64<E: de::Error>(self, second: i64) -> Result<Second, E> {
        Ok(Second(second))
    }

    fn visit_u64<E: de::Error>(self, second: u64) -> Result<Second, E> {
        i64::try_from(second)
            .map(Second)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(second), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Second, E> {
        let time: Result<Timestamp, _> = text.parse();
        time.map(|time| Second(time.as_second()))
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}
