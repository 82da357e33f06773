//! Limits as users write them: an object of requests by window, such as `{"minute": 10, "month":
//! 100000}`.

use latchkey_policy::limit::{Limits, Window};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::json::{Object, given};
use crate::schema::{null, number, object};

/// Limits in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "LimitsChange")]
pub struct DeclaredLimits(pub Limits);

impl DeclaredLimits {
    /// Returns the limits of `self`, and for windows without one those of `base`.
    pub fn over(self, base: Limits) -> Limits {
        Window::ALL
            .into_iter()
            .fold(base, |limits, window| match self.0.get(window) {
                None => limits,
                limit => limits.with(window, limit),
            })
    }

    /// Returns `limits` with each lowered to the limit of `self` in the same window, if it has one.
    pub fn bound(self, limits: Limits) -> Limits {
        Window::ALL.into_iter().fold(limits, |limits, window| {
            match (self.0.get(window), limits.get(window)) {
                (Some(bound), limit) => {
                    limits.with(window, Some(limit.map_or(bound, |limit| limit.min(bound))))
                }
                (None, _) => limits,
            }
        })
    }
}

impl Serialize for DeclaredLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let limits = Window::ALL
            .into_iter()
            .filter_map(|window| Some((window.as_str(), self.0.get(window)?)));
        serializer.collect_map(limits)
    }
}

impl PartialSchema for DeclaredLimits {
    fn schema() -> RefOr<Schema> {
        let limits = by_window(Requests::schema);
        limits
            .description(Some(
                "The maximum number of requests in each calendar window in UTC. Absent windows \
                have no limit.",
            ))
            .into()
    }
}

impl ToSchema for DeclaredLimits {
    fn name() -> Cow<'static, str> {
        "Limits".into()
    }
}

impl PartialSchema for LimitsChange {
    fn schema() -> RefOr<Schema> {
        let limits = by_window(|| {
            OneOfBuilder::new()
                .item(Requests::schema())
                .item(null())
                .into()
        });
        limits
            .description(Some(
                "The maximum number of requests in each calendar window in UTC; null for no limit.",
            ))
            .into()
    }
}

impl ToSchema for LimitsChange {}

fn by_window(limit: impl Fn() -> RefOr<Schema>) -> ObjectBuilder {
    Window::ALL.into_iter().fold(object(), |limits, window| {
        limits.property(window.as_str(), limit())
    })
}

impl From<LimitsChange> for DeclaredLimits {
    fn from(all: LimitsChange) -> Self {
        all.applied_to(Self::default())
    }
}

/// New limits for some windows; null removes a window's limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Object<Fields>")]
pub struct LimitsChange(Fields);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    #[serde(deserialize_with = "given")]
    minute: Option<Option<Requests>>,
    #[serde(deserialize_with = "given")]
    hour: Option<Option<Requests>>,
    #[serde(deserialize_with = "given")]
    day: Option<Option<Requests>>,
    #[serde(deserialize_with = "given")]
    month: Option<Option<Requests>>,
}

impl From<Object<Fields>> for LimitsChange {
    fn from(Object(fields): Object<Fields>) -> Self {
        Self(fields)
    }
}

impl LimitsChange {
    /// Returns `limits` with this change applied.
    pub fn applied_to(self, limits: DeclaredLimits) -> DeclaredLimits {
        let Fields {
            minute,
            hour,
            day,
            month,
        } = self.0;
        let changes = [minute, hour, day, month];
        let changed =
            Window::ALL
                .into_iter()
                .zip(changes)
                .fold(limits.0, |limits, (window, change)| match change {
                    None => limits,
                    Some(limit) => limits.with(window, limit.map(|Requests(requests)| requests)),
                });

        DeclaredLimits(changed)
    }

    /// Returns the windows that this change names.
    pub fn windows(self) -> impl Iterator<Item = Window> {
        let Fields {
            minute,
            hour,
            day,
            month,
        } = self.0;
        Window::ALL
            .into_iter()
            .zip([minute, hour, day, month])
            .filter_map(|(window, change)| change.map(|_| window))
    }
}

/// A number of requests from 1 to 4,294,967,295.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests(u32);

impl PartialSchema for Requests {
    fn schema() -> RefOr<Schema> {
        number(1).maximum(Some(u32::MAX)).into()
    }
}

impl ToSchema for Requests {}

impl<'de> Deserialize<'de> for Requests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequestsVisitor)
    }
}

struct RequestsVisitor;

impl Visitor<'_> for RequestsVisitor {
    type Value = Requests;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {}", u32::MAX)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Requests, E> {
        let requests = u32::try_from(number).ok().filter(|requests| *requests > 0);
        requests
            .map(Requests)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DeclaredLimits, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_round_trip_through_json() {
        for json in [
            "{}",
            r#"{"minute":1}"#,
            r#"{"minute":10,"hour":20,"day":30,"month":4294967295}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
        assert_eq!(read(r#"{"minute":null}"#), Ok(DeclaredLimits::default()));
    }

    #[test]
    fn invalid_limits_are_refused() {
        for number in ["0", "-1", "4294967296", "1.5", "\"10\"", "true"] {
            let error = read(&format!(r#"{{"minute":{number}}}"#)).unwrap_err();
            assert!(
                error.contains("expected a whole number from 1 to 4294967295"),
                "{number}: {error}"
            );
        }

        assert!(
            read(r#"{"second":1}"#)
                .unwrap_err()
                .contains("unknown field `second`")
        );
        assert!(
            read(r#"{"day":1,"day":1}"#)
                .unwrap_err()
                .contains("duplicate field `day`")
        );

        for value in ["null", "10", "[10]"] {
            assert!(
                read(value).unwrap_err().contains("expected an object"),
                "{value}"
            );
        }
    }

    #[test]
    fn own_limit_precedes_the_base() {
        let (own, base) = (
            read(r#"{"minute":5,"day":7}"#).unwrap(),
            read(r#"{"minute":10,"hour":20}"#).unwrap(),
        );
        assert_eq!(
            DeclaredLimits(own.over(base.0)),
            read(r#"{"minute":5,"hour":20,"day":7}"#).unwrap()
        );
    }

    #[test]
    fn bound_lowers_only_named_windows() {
        let (bound, limits) = (
            read(r#"{"minute":10,"hour":20,"day":30}"#).unwrap(),
            r#"{"minute":5,"hour":50,"month":9}"#,
        );
        let bounded = DeclaredLimits(bound.bound(read(limits).unwrap().0));
        assert_eq!(
            bounded,
            read(r#"{"minute":5,"hour":20,"day":30,"month":9}"#).unwrap()
        );
    }

    #[test]
    fn change_keeps_unnamed_windows() {
        let change: LimitsChange = serde_json::from_str(r#"{"minute":null,"day":7}"#).unwrap();
        let before = read(r#"{"minute":5,"hour":20}"#).unwrap();
        assert_eq!(
            change.applied_to(before),
            read(r#"{"hour":20,"day":7}"#).unwrap()
        );
    }
}
