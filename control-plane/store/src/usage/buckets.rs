//! Requests by time, key and code, or by some of these, summed up by the database: of keys from
//! `usage_buckets`, of an account from `usage_sums`.

use latchkey_policy::meter::Outcome;
use latchkey_policy::verdict::Code;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::ops::Range;

use super::top::{self, UsedKeys};
use super::{DAY, HOUR, MAX_REQUESTS};
use crate::{Store, StoreError, Total, to_json};

/// How long the times are over which requests are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// By hour.
    Hour,
    /// By day.
    Day,
}

impl Resolution {
    /// When the bucket begins that a Unix second is in.
    pub fn start(self, second: i64) -> i64 {
        second.saturating_sub(second.rem_euclid(self.seconds()))
    }

    /// Returns the length of a bucket.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }
}

/// What is told apart; requests are summed up over the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// By bucket of time.
    pub time: bool,
    /// By key.
    pub key: bool,
    /// By verdict.
    pub code: bool,
}

/// Which requests are asked for.
#[derive(Debug)]
pub struct UsageQuery<'a> {
    /// The account.
    pub account_id: &'a str,
    /// Unix seconds; whole buckets.
    pub times: Range<i64>,
    /// The length of buckets.
    pub resolution: Resolution,
    /// Only this key.
    pub key_id: Option<&'a str>,
    /// Only this verdict.
    pub code: Option<Outcome>,
    /// The grouping.
    pub group: Group,
    /// Only so many keys, those with the most requests. It takes `group.key`.
    pub top_keys: Option<u32>,
}

impl UsageQuery<'_> {
    pub(super) fn hours(&self) -> Range<i64> {
        self.times.start.div_euclid(HOUR)..self.times.end.div_euclid(HOUR)
    }

    /// Of so many rows of different keys, hours and codes, at least one more than `limit` buckets
    /// by key are made.
    fn rows(&self, limit: i64) -> i64 {
        let hours = self.hours();
        let hours = if self.group.time {
            self.resolution.seconds() / HOUR
        } else {
            hours.end.saturating_sub(hours.start)
        };
        let codes = if self.group.code || self.code.is_some() {
            1
        } else {
            Outcome::ALL.len()
        };
        let of_a_bucket = hours.saturating_mul(i64::try_from(codes).unwrap_or(i64::MAX));
        limit.saturating_mul(of_a_bucket).saturating_add(1)
    }

    /// The days that its hours are in.
    pub(super) fn days(&self) -> Range<i64> {
        let hours = self.hours();
        let end = hours
            .end
            .saturating_add(DAY / HOUR - 1)
            .div_euclid(DAY / HOUR);
        hours.start.div_euclid(DAY / HOUR)..end
    }
}

/// A key, and what it is called now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// The key's id.
    pub id: String,
    /// The key's name.
    pub name: String,
}

/// Requests that have in common what is told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Unix seconds.
    pub start: Option<i64>,
    /// The key.
    pub key: Option<NamedKey>,
    /// The verdict's code.
    pub code: Option<String>,
    /// At most [`MAX_REQUESTS`].
    pub requests: u64,
}

/// What a query finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageFound {
    /// In the order of times, keys and codes; with `top_keys` the key with the most requests first.
    pub buckets: Vec<Bucket>,
    /// How many keys had such requests, whether or not they are told apart.
    pub keys: Total,
    /// Whether a key that is left out may have more requests than one of the top keys.
    pub top_keys_is_estimate: bool,
}

/// Time, key, its name, code and requests.
type Row = (
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
);

impl Store {
    /// What `query` asks for; none if that is more than `limit` buckets.
    pub async fn usage(
        &self,
        query: &UsageQuery<'_>,
        limit: usize,
    ) -> Result<Option<UsageFound>, StoreError> {
        let mut transaction = self.0.lists.begin().await?;
        let on = &mut *transaction;
        let used = if query.group.key || query.key_id.is_some() {
            Some(keys(on, query, limit).await?)
        } else {
            None
        };
        let (seqs, top_keys_is_estimate) = match &used {
            Some(UsedKeys { seqs, .. }) if seqs.len() > limit => return Ok(None),
            Some(UsedKeys { seqs, is_estimate }) => (Some(to_json(seqs)?), *is_estimate),
            None => (None, false),
        };
        let select = select(query, seqs.as_deref(), limit);
        let rows: Vec<Row> = { select }.build_query_as().fetch_all(&mut *on).await?;
        if rows.len() > limit {
            return Ok(None);
        }
        let keys = match used {
            Some(UsedKeys { seqs, .. }) if query.top_keys.is_none() && query.key_id.is_none() => {
                Total::counted(u64::try_from(seqs.len()).unwrap_or(u64::MAX), true)
            }
            _ if query.key_id.is_some() => Total::counted(u64::from(!rows.is_empty()), true),
            _ => top::count(on, query).await?,
        };
        let bucket = |(time, id, name, code, requests): Row| Bucket {
            start: time.map(|time| time.saturating_mul(query.resolution.seconds())),
            key: id.zip(name).map(|(id, name)| NamedKey { id, name }),
            code,
            requests: requests.cast_unsigned(),
        };
        let buckets = rows.into_iter().map(bucket).collect();
        Ok(Some(UsageFound {
            buckets,
            keys,
            top_keys_is_estimate,
        }))
    }
}

/// The keys that are asked for and had such requests; of one key only that it exists.
async fn keys(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    limit: usize,
) -> Result<UsedKeys, StoreError> {
    const ONE: &str = "SELECT seq FROM keys WHERE account_id = ? AND id = ?";
    if let Some(key_id) = query.key_id {
        let seqs = sqlx::query_scalar(ONE)
            .bind(query.account_id)
            .bind(key_id)
            .fetch_all(on)
            .await?;
        return Ok(UsedKeys {
            seqs,
            is_estimate: false,
        });
    }
    match query.top_keys {
        Some(top_keys) => top::keys(on, query, top_keys).await,
        None => top::used(on, query, limit.saturating_add(1)).await,
    }
}

/// The buckets, one more than `limit` at most: of the keys of these numbers, which are JSON, or of
/// all of the account.
fn select(query: &UsageQuery<'_>, seqs: Option<&str>, limit: usize) -> QueryBuilder<Sqlite> {
    let Group { time, key, code } = query.group;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select = QueryBuilder::<Sqlite>::new("WITH counted AS (SELECT ");
    let of_time = if query.resolution == Resolution::Day {
        "b.hour / 24"
    } else {
        "b.hour"
    };
    let column = |wanted: bool, column: &'static str| if wanted { column } else { "NULL" };
    select
        .push(column(time, of_time))
        .push(" AS time, ")
        .push(column(key, "listed.key"))
        .push(" AS place, ");
    select
        .push(column(key, "listed.value"))
        .push(" AS seq, ")
        .push(column(code, "b.code"))
        .push(" AS code, ");
    select.push("b.requests FROM ");
    match seqs {
        Some(seqs) => {
            select.push("json_each(").push_bind(seqs.to_owned());
            select
                .push(") AS listed CROSS JOIN usage_buckets b ON b.key_seq = listed.value WHERE ");
        }
        None => {
            select
                .push("usage_sums b WHERE b.account_id = ")
                .push_bind(query.account_id.to_owned())
                .push(" AND ");
        }
    }
    push_which(&mut select, query);
    if key {
        select.push(" LIMIT ").push_bind(query.rows(limit));
    }
    select.push("), summed AS (SELECT time, place, seq, code, ");
    push_sum(&mut select);
    let group = [(time, "time"), (key, "place, seq"), (code, "code")]
        .into_iter()
        .filter(|(wanted, _)| *wanted);
    let group: Vec<_> = group.map(|(_, column)| column).collect();
    select.push(" AS total FROM counted ");
    if !group.is_empty() {
        select.push("GROUP BY ").push(group.join(", "));
    }
    select.push(" LIMIT ").push_bind(limit.saturating_add(1));
    select.push(") SELECT s.time, k.id, k.name, s.code, s.total FROM summed s LEFT JOIN keys k ON k.seq = s.seq ");
    select.push(match query.top_keys {
        Some(_) => "ORDER BY s.place, s.time, s.code",
        None => "ORDER BY s.time, k.id, s.code",
    });
    select
}

/// As much as a bucket can say. `TOTAL` is exact up to there, and does not fail beyond.
pub(super) fn push_sum(to: &mut QueryBuilder<Sqlite>) {
    to.push("CAST(MIN(TOTAL(requests), ")
        .push_bind(MAX_REQUESTS.cast_signed())
        .push(") AS INTEGER)");
}

pub(super) fn push_which(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>) {
    let hours = query.hours();
    to.push("b.hour >= ")
        .push_bind(hours.start)
        .push(" AND b.hour < ")
        .push_bind(hours.end);
    push_code(to, query);
}

pub(super) fn push_code(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>) {
    if let Some(outcome) = query.code {
        to.push(" AND b.code = ")
            .push_bind(Code::from(outcome).as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;
    use sqlx::AssertSqlSafe;

    const ALL: Group = Group {
        time: true,
        key: true,
        code: true,
    };

    async fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        (directory, store)
    }

    fn query(key_id: Option<&str>, group: Group, top_keys: Option<u32>) -> UsageQuery<'_> {
        let (times, resolution) = (0..DAY, Resolution::Hour);
        UsageQuery {
            account_id: "acc",
            times,
            resolution,
            key_id,
            code: None,
            group,
            top_keys,
        }
    }

    /// How SQLite finds the rows, step by step.
    async fn plan(store: &Store, select: QueryBuilder<Sqlite>) -> Vec<String> {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", select.sql().as_str()));
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
            .fetch_all(&store.0.readers)
            .await
            .unwrap();
        steps.into_iter().map(|(.., step)| step).collect()
    }

    #[tokio::test]
    async fn usage_reports_search_for_their_rows() {
        let (_directory, store) = store().await;
        let buckets = "SEARCH b USING PRIMARY KEY (key_seq=? AND hour>? AND hour<?)";
        let sums = "SEARCH b USING PRIMARY KEY (account_id=? AND hour>? AND hour<?)";
        let by_time = Group { key: false, ..ALL };
        for (seqs, group, top_keys, expected) in [
            (Some("[1]"), ALL, None, buckets),
            (None, by_time, None, sums),
            (Some("[1]"), ALL, Some(1), buckets),
        ] {
            let query = query(None, group, top_keys);
            let plan = plan(&store, select(&query, seqs, 1)).await;
            let searches: Vec<_> = plan
                .iter()
                .filter(|step| step.contains(" b "))
                .map(|step| step.trim())
                .collect();
            assert_eq!(searches, [expected], "{plan:#?}");
        }
    }
}
