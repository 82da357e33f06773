//! The expiry of a key in requests.

use jiff::Timestamp;
use latchkey_model::schema::{number, text};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, OneOfBuilder, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// The first invalid expiry, 9999-01-01T00:00:00Z. Earlier times have a year of four digits.
pub const EXPIRY_END: i64 = 253_370_764_800;

/// An expiry in Unix seconds, given as such or as RFC 3339. Fractions of a second are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry(pub i64);

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpiryVisitor)
    }
}

impl PartialSchema for Expiry {
    fn schema() -> RefOr<Schema> {
        let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        let second = number(1).exclusive_maximum(Some(EXPIRY_END));
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
pub fn from_rfc3339(text: &str) -> Option<i64> {
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
