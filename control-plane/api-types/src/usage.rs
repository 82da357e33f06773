//! Counts of requests.

use latchkey_model::schema::{number, object, one_of};
use latchkey_policy::meter::Outcome;
use latchkey_policy::verdict::Code;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Object;

use crate::{counts, schemas};

/// The current usage of a key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyUsage {
    pub requests_today: u64,
    pub requests_this_month: u64,
    /// This month's requests by code.
    #[schema(schema_with = by_code)]
    #[serde(with = "counts")]
    pub by_code: Vec<(String, u64)>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The start of the first bucket.
    #[schema(value_type = schemas::Time)]
    pub from: String,
    /// The end of the last bucket.
    #[schema(value_type = schemas::Time)]
    pub to: String,
    #[schema(schema_with = resolutions)]
    pub bucket: String,
    /// The number of API keys with such requests in this time, exact up to 10,000.
    #[schema(minimum = 0)]
    pub keys: u64,
    /// True if `keys` is only a lower bound.
    pub keys_is_estimate: bool,
    /// True if an omitted API key may have more requests than one of the `top_keys`, because too
    /// many keys have similar numbers.
    pub top_keys_is_estimate: bool,
    /// The counts, sorted by the dimensions of `group_by`: time, key and code. With `top_keys`, the
    /// key with the most requests comes first. Buckets without requests are omitted.
    pub buckets: Vec<UsageBucket>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UsageBucket {
    /// The start of the bucket, if `group_by` includes `time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<schemas::Time>)]
    pub start: Option<String>,
    /// The key, if `group_by` includes `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<schemas::KeyId>)]
    pub key_id: Option<String>,
    /// The key's current name, for callers with `account:apikeys:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<schemas::Name>)]
    pub key_name: Option<String>,
    /// The code, if `group_by` includes `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<schemas::OutcomeCode>)]
    pub code: Option<String>,
    #[schema(minimum = 1)]
    pub requests: u64,
}

fn by_code() -> Object {
    let codes = Outcome::ALL
        .into_iter()
        .map(|outcome| Code::from(outcome).as_str());
    codes
        .fold(object(), |codes, code| {
            codes.property(code, number(0)).required(code)
        })
        .build()
}

/// Returns the schema of a bucket's length.
pub fn resolutions() -> Object {
    one_of(["hour", "day"]).build()
}
