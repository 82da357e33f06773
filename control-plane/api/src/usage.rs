//! `/v1/usage`: counts of requests by key, verdict and time, and the usage of a single key.

use axum::extract::State;
use latchkey_api_types::{self as types, resolutions, schemas};
use latchkey_model::clock::rfc3339;
use latchkey_model::schema::{matching, number};
use latchkey_policy::meter::Outcome;
use latchkey_policy::verdict::Code;
use latchkey_store::KeyUsage;
use latchkey_store::usage::{self, Group, NamedKey, Resolution, UsageQuery};
use std::ops::Range;
use std::sync::Arc;
use utoipa::PartialSchema as _;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::Params;
use super::list_reads::ListSession;
use super::openapi::parameters::query;
use super::response::Answer;

/// The maximum number of buckets in a response.
const MAX_BUCKETS: usize = 10_000;

/// The largest value of `top_keys`.
const MAX_TOP_KEYS: u32 = 1_000;

/// The default time range before `to`, in seconds.
const DEFAULT_SPAN: i64 = 24 * 60 * 60;

/// Returns the view of a key's usage.
pub(crate) fn of_key(usage: KeyUsage) -> types::KeyUsage {
    let KeyUsage {
        requests_today,
        requests_this_month,
        by_code,
    } = usage;
    types::KeyUsage {
        requests_today,
        requests_this_month,
        by_code: by_code
            .into_iter()
            .map(|(code, count)| (code.to_owned(), count))
            .collect(),
    }
}

fn bucket(bucket: usage::Bucket, with_names: bool) -> types::UsageBucket {
    let usage::Bucket {
        start,
        key,
        code,
        requests,
    } = bucket;
    let (key_id, key_name) = key.map(|NamedKey { id, name }| (id, name)).unzip();
    let key_name = key_name.filter(|_| with_names);
    types::UsageBucket {
        start: start.map(rfc3339),
        key_id,
        key_name,
        code,
        requests,
    }
}

const GROUP_BY: &str = "The dimensions to group by: `time`, `key` and `code`, separated by \
commas. Default: all. Requests are summed over the other dimensions, which buckets omit.";

/// The query parameters of [`list`].
enum UsageParams {}

impl utoipa::IntoParams for UsageParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            query(
                "from",
                "The start, rounded down to a whole bucket. Default: a day before `to`.",
                schemas::Instant::schema(),
            ),
            query(
                "to",
                "The end, rounded up to a whole bucket. Default: now.",
                schemas::Instant::schema(),
            ),
            query(
                "bucket",
                "The length of a bucket. Default: an hour.",
                resolutions(),
            ),
            query(
                "key_id",
                "Only requests of this API key.",
                schemas::KeyId::schema(),
            ),
            query(
                "code",
                "Only requests with this code.",
                schemas::OutcomeCode::schema(),
            ),
            query(
                "group_by",
                GROUP_BY,
                matching("^(time|key|code)(,(time|key|code))*$"),
            ),
            query(
                "top_keys",
                "Only this number of API keys, those with the most requests. Requires `key` in \
                `group_by`.",
                number(1).maximum(Some(MAX_TOP_KEYS)),
            ),
        ]
    }
}

/// Count requests by key, code and time
///
/// Counts the account's requests, by all three dimensions or by some of them.
#[utoipa::path(get, path = "/v1/usage", operation_id = "listUsage", tag = "Usage",
    params(UsageParams), security(("credential" = ["account:usage:read"])),
    responses(
        (status = 200, description = "The counts, in whole buckets.", body = Answer<types::Usage>),
        (status = 404, description = "The account has no API key with the id `key_id`."),
    ))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<types::Usage>, ApiError> {
    caller.require("account:usage:read")?;
    let filter = Filter::take(&mut params, app.clock.now())?;
    params.finish()?;

    filter.check()?;

    let account_id = &caller.account_id;
    if let Some(id) = &filter.key_id {
        app.store.key(account_id, id).await?;
    }
    let query = UsageQuery {
        account_id,
        times: filter.times.clone(),
        resolution: filter.resolution,
        key_id: filter.key_id.as_deref(),
        code: filter.code,
        group: filter.group,
        top_keys: filter.top_keys,
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
        .map(|bucket| self::bucket(bucket, with_names))
        .collect();
    let usage = types::Usage {
        from: rfc3339(filter.times.start),
        to: rfc3339(filter.times.end),
        bucket: filter.bucket.to_owned(),
        keys: found.keys.count,
        keys_is_estimate: found.keys.is_estimate,
        top_keys_is_estimate: found.top_keys_is_estimate,
        buckets,
    };
    Ok(Answer::ok("Usage retrieved successfully", usage))
}

/// The query parameters of [`list`], parsed.
struct Filter {
    /// The length of a bucket, as in the parameter.
    bucket: &'static str,
    resolution: Resolution,
    times: Range<i64>,
    key_id: Option<String>,
    code: Option<Outcome>,
    group: Group,
    top_keys: Option<u32>,
}

impl Filter {
    fn take(params: &mut Params, now: i64) -> Result<Self, ApiError> {
        let (bucket, resolution) = resolution(params.text("bucket")?)?;
        Ok(Self {
            bucket,
            resolution,
            times: times(params.time("from")?, params.time("to")?, resolution, now)?,
            key_id: params.text("key_id")?,
            code: outcome(params.text("code")?)?,
            group: group(params.text("group_by")?)?,
            top_keys: params.optional_number("top_keys", 1..=MAX_TOP_KEYS)?,
        })
    }

    /// Checks parameters that depend on each other.
    fn check(&self) -> Result<(), ApiError> {
        if self.top_keys.is_some() && !self.group.key {
            let reason = "requires `key` in `group_by`";
            return Err(ApiError::parameter("top_keys", reason));
        }
        Ok(())
    }
}

fn too_many() -> ApiError {
    let error = format!(
        "There are more than {MAX_BUCKETS} buckets. Narrow the query with `from`, `to`, `key_id` \
        or `code`, use `bucket=day`, group by fewer dimensions with `group_by`, or request fewer \
        keys with `top_keys`."
    );
    ApiError::Invalid { field: None, error }
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
                    "must be one or more of time, key, code, separated by commas",
                ));
            }
        };
        *wanted = true;
    }
    Ok(group)
}

/// Returns the range in whole buckets: `from` is rounded down and `to` up.
fn times(
    from: Option<i64>,
    to: Option<i64>,
    resolution: Resolution,
    now: i64,
) -> Result<Range<i64>, ApiError> {
    // The default includes the present second.
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
    fn default_times_are_the_last_day() {
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
    fn end_before_start_is_refused() {
        for (from, to) in [(5, Some(5)), (6, Some(5)), (1_800_000_001, None)] {
            let refused = range(Some(from), to, Resolution::Hour).unwrap_err();
            assert_eq!(refused, "Query parameter `from` must be before `to`.");
        }
    }
}
