//! `/v1/usage`: requests by key, verdict and time; and what a key's answer says of its use.

use axum::extract::State;
use latchkey_model::clock::rfc3339;
use latchkey_model::schema::{matching, number, object, one_of};
use latchkey_policy::meter::Outcome;
use latchkey_policy::verdict::Code;
use latchkey_store::usage::{self, Group, NamedKey, Resolution, UsageQuery};
use latchkey_store::{KeyUsage, Total};
use serde::{Serialize, Serializer};
use std::ops::Range;
use std::sync::Arc;
use utoipa::openapi::Object;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{PartialSchema as _, ToSchema};

use super::App;
use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::Params;
use super::list_reads::ListSession;
use super::openapi::parameters::query;
use super::openapi::texts;

/// Buckets in an answer at most.
const MAX_BUCKETS: usize = 10_000;

/// Keys that `top_keys` can ask for.
const MAX_TOP_KEYS: u32 = 1_000;

/// Without `from`, so many seconds before `to`.
const DEFAULT_SPAN: i64 = 24 * 60 * 60;

/// How much a key is used at present.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyUsage)]
pub(super) struct OfKey {
    requests_today: u64,
    requests_this_month: u64,
    /// This month's.
    #[schema(schema_with = by_code)]
    #[serde(serialize_with = "as_object")]
    by_code: [(&'static str, u64); Outcome::ALL.len()],
}

impl From<KeyUsage> for OfKey {
    fn from(usage: KeyUsage) -> Self {
        let KeyUsage {
            requests_today,
            requests_this_month,
            by_code,
        } = usage;
        Self {
            requests_today,
            requests_this_month,
            by_code,
        }
    }
}

fn as_object<S: Serializer>(
    by_code: &[(&'static str, u64)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(by_code.iter().copied())
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

#[derive(Serialize, ToSchema)]
#[schema(as = Usage)]
pub(super) struct List {
    /// When the first bucket begins.
    #[schema(value_type = texts::Time)]
    from: String,
    /// When the last one ends.
    #[schema(value_type = texts::Time)]
    to: String,
    #[schema(schema_with = resolutions)]
    bucket: &'static str,
    /// How many API keys had such requests in this time. Exact up to 10,000.
    #[schema(minimum = 0)]
    keys: u64,
    /// Whether `keys` is only the least number that there are.
    keys_is_estimate: bool,
    /// Whether an API key that is left out may have more requests than one of the `top_keys`: too
    /// many had about as many.
    top_keys_is_estimate: bool,
    /// By time, key and code, as far as `group_by` has them; with `top_keys` the key with the most
    /// requests first. What there is none of is left out.
    buckets: Vec<Bucket>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UsageBucket)]
struct Bucket {
    /// If `group_by` has `time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<texts::Time>)]
    start: Option<String>,
    /// If `group_by` has `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<texts::KeyId>)]
    key_id: Option<String>,
    /// What the key is called now, for those who may see keys (`account:apikeys:read`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<texts::Name>)]
    key_name: Option<String>,
    /// If `group_by` has `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<texts::OutcomeCode>)]
    code: Option<String>,
    #[schema(minimum = 1)]
    requests: u64,
}

impl Bucket {
    fn new(bucket: usage::Bucket, with_names: bool) -> Self {
        let usage::Bucket {
            start,
            key,
            code,
            requests,
        } = bucket;
        let (key_id, key_name) = key.map(|NamedKey { id, name }| (id, name)).unzip();
        let key_name = key_name.filter(|_| with_names);
        Self {
            start: start.map(rfc3339),
            key_id,
            key_name,
            code,
            requests,
        }
    }
}

const GROUP_BY: &str = "What is told apart, some of `time`, `key` and `code`, with commas between them; all of them if it \
                        is left out. Requests are summed up over the rest, which buckets leave out.";

/// What [`list`] reads of a query.
enum Wanted {}

impl utoipa::IntoParams for Wanted {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            query(
                "from",
                "From when on; a day before `to` if it is left out. Rounded down.",
                texts::Instant::schema(),
            ),
            query(
                "to",
                "Until when; now if it is left out. Rounded up.",
                texts::Instant::schema(),
            ),
            query(
                "bucket",
                "How long a bucket is; an hour if it is left out.",
                resolutions(),
            ),
            query("key_id", "Of this API key alone.", texts::KeyId::schema()),
            query("code", "Of this code alone.", texts::OutcomeCode::schema()),
            query(
                "group_by",
                GROUP_BY,
                matching("^(time|key|code)(,(time|key|code))*$"),
            ),
            query(
                "top_keys",
                "Of so many API keys alone, those with the most requests. It takes `key` in `group_by`.",
                number(1).maximum(Some(MAX_TOP_KEYS)),
            ),
        ]
    }
}

/// Count requests by key, code and time
///
/// The account's own, by all three or by some of them.
#[utoipa::path(get, path = "/v1/usage", operation_id = "listUsage", tag = "Usage",
    params(Wanted), security(("credential" = ["account:usage:read"])),
    responses(
        (status = 200, description = "The counts, in whole buckets.", body = Answer<List>),
        (status = 404, description = "The account has no API key with the id `key_id`."),
    ))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<List>, ApiError> {
    caller.require("account:usage:read")?;
    let (name, resolution) = resolution(params.text("bucket")?)?;
    let times = times(
        params.time("from")?,
        params.time("to")?,
        resolution,
        app.clock.now(),
    )?;
    let (key_id, code) = (params.text("key_id")?, outcome(params.text("code")?)?);
    let group = group(params.text("group_by")?)?;
    let top_keys = params.optional_number("top_keys", 1..=MAX_TOP_KEYS)?;
    params.finish()?;
    if top_keys.is_some() && !group.key {
        return Err(ApiError::parameter("top_keys", "takes `key` in `group_by`"));
    }
    let account_id = &caller.account_id;
    if let Some(id) = &key_id {
        app.store.key(account_id, id).await?;
    }
    let key_id = key_id.as_deref();
    let query = UsageQuery {
        account_id,
        times: times.clone(),
        resolution,
        key_id,
        code,
        group,
        top_keys,
    };
    let found = app
        .store
        .usage(&query, MAX_BUCKETS)
        .await?
        .ok_or_else(too_many)?;
    let with_names = caller.holds("account:apikeys:read");
    let buckets = found
        .buckets
        .into_iter()
        .map(|bucket| Bucket::new(bucket, with_names))
        .collect();
    let Total {
        count: keys,
        is_estimate: keys_is_estimate,
    } = found.keys;
    let list = List {
        from: rfc3339(times.start),
        to: rfc3339(times.end),
        bucket: name,
        keys,
        keys_is_estimate,
        top_keys_is_estimate: found.top_keys_is_estimate,
        buckets,
    };
    Ok(Answer::ok("Usage retrieved successfully", list))
}

fn too_many() -> ApiError {
    let error = format!(
        "There are more than {MAX_BUCKETS} buckets. Narrow it down with `from`, `to`, `key_id` or `code`, use \
         `bucket=day`, or have less told apart with `group_by`, or fewer keys with `top_keys`."
    );
    ApiError::Invalid { field: None, error }
}

fn resolutions() -> Object {
    one_of(["hour", "day"]).build()
}

fn resolution(name: Option<String>) -> Result<(&'static str, Resolution), ApiError> {
    match name.as_deref() {
        None | Some("hour") => Ok(("hour", Resolution::Hour)),
        Some("day") => Ok(("day", Resolution::Day)),
        Some(_) => Err(ApiError::parameter("bucket", "must be one of hour, day")),
    }
}

fn group(names: Option<String>) -> Result<Group, ApiError> {
    let Some(names) = names else {
        return Ok(Group {
            time: true,
            key: true,
            code: true,
        });
    };
    let mut group = Group {
        time: false,
        key: false,
        code: false,
    };
    for name in names.split(',') {
        let wanted = match name {
            "time" => &mut group.time,
            "key" => &mut group.key,
            "code" => &mut group.code,
            _ => {
                return Err(ApiError::parameter(
                    "group_by",
                    "must be some of time, key, code, with commas between them",
                ));
            }
        };
        *wanted = true;
    }
    Ok(group)
}

/// Whole buckets: `from` is rounded down and `to` up.
fn times(
    from: Option<i64>,
    to: Option<i64>,
    resolution: Resolution,
    now: i64,
) -> Result<Range<i64>, ApiError> {
    // Up to and with the present second.
    let to = to.unwrap_or(now.saturating_add(1));
    let from = from.unwrap_or(to.saturating_sub(DEFAULT_SPAN).max(0));
    if from >= to {
        return Err(ApiError::parameter("from", "must be before `to`"));
    }
    let end = resolution
        .start(to.saturating_sub(1))
        .saturating_add(resolution.seconds());
    Ok(resolution.start(from)..end)
}

fn outcome(code: Option<String>) -> Result<Option<Outcome>, ApiError> {
    let Some(code) = code else { return Ok(None) };
    let name = |outcome: Outcome| Code::from(outcome).as_str();
    let found = Outcome::ALL
        .into_iter()
        .find(|outcome| name(*outcome) == code);
    found.map(Some).ok_or_else(|| {
        ApiError::parameter(
            "code",
            format_args!("must be one of {}", Outcome::ALL.map(name).join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(
        from: Option<i64>,
        to: Option<i64>,
        resolution: Resolution,
    ) -> Result<Range<i64>, String> {
        times(from, to, resolution, 1_800_000_000).map_err(|error| match error {
            ApiError::Invalid { error, .. } => error,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn times_are_whole_buckets_and_the_last_day_unless_told() {
        // 1,800,000,000 is 2027-01-15T08:00:00Z.
        assert_eq!(
            range(None, None, Resolution::Hour),
            Ok(1_799_913_600..1_800_003_600)
        );
        assert_eq!(
            range(None, Some(1_800_000_000), Resolution::Hour),
            Ok(1_799_913_600..1_800_000_000)
        );
        assert_eq!(
            range(None, None, Resolution::Day),
            Ok(1_799_884_800..1_800_057_600)
        );
        let range = range(Some(1_799_999_999), Some(1_800_000_001), Resolution::Hour);
        assert_eq!(range, Ok(1_799_996_400..1_800_003_600));
    }

    #[test]
    fn what_ends_before_it_begins_is_refused() {
        for (from, to) in [(5, Some(5)), (6, Some(5)), (1_800_000_001, None)] {
            let refused = range(Some(from), to, Resolution::Hour).unwrap_err();
            assert_eq!(refused, "Query parameter `from` must be before `to`.");
        }
    }
}
