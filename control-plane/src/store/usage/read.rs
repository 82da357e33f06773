//! What people ask for: a key's use at present, and requests by time.

use latchkey_policy::limit::Window;
use latchkey_policy::meter::Outcome;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::BTreeMap;
use std::ops::Range;

use super::{DAY, HOUR, kind};
use crate::store::{Store, StoreError};

/// Hours in a bucket, at most.
const HOURS: usize = 24;

/// How much a key is used at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// Admitted since midnight, UTC.
    pub requests_today: u64,
    /// Admitted since midnight on the first, UTC.
    pub requests_this_month: u64,
    /// Requests that were reported since then, by the code of their verdict, in the order in which verdicts are reported.
    pub by_code: [(&'static str, u64); Outcome::ALL.len()],
}

/// How long the times are over which requests are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    Hour,
    Day,
}

impl Resolution {
    /// When the bucket begins that a Unix second is in.
    pub(crate) fn start(self, second: i64) -> i64 {
        second.saturating_sub(second.rem_euclid(self.seconds()))
    }

    pub(crate) fn seconds(self) -> i64 {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }
}

/// Which requests are asked for.
#[derive(Debug)]
pub(crate) struct UsageQuery<'a> {
    pub(crate) account_id: &'a str,
    /// Unix seconds; whole buckets.
    pub(crate) times: Range<i64>,
    pub(crate) resolution: Resolution,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) code: Option<Outcome>,
}

/// Requests with one key and one verdict in some time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket {
    /// Unix seconds.
    pub(crate) start: i64,
    pub(crate) key_id: String,
    pub(crate) code: String,
    pub(crate) requests: u64,
}

impl Store {
    /// How much the account's key is used at `now`; nothing of a key that it has not got.
    pub async fn key_usage(&self, account_id: &str, key_id: &str, now: i64) -> Result<KeyUsage, StoreError> {
        const BY_CODE: &str =
            "SELECT code, SUM(requests) FROM usage_buckets WHERE key_seq = ? AND hour >= ? GROUP BY code";
        let mut transaction = self.0.readers.begin().await?;
        let query = sqlx::query_scalar("SELECT seq FROM keys WHERE account_id = ? AND id = ?");
        let key: Option<i64> = query.bind(account_id).bind(key_id).fetch_optional(&mut *transaction).await?;
        let requests_today = admitted(&mut transaction, key, Window::Day, now).await?;
        let requests_this_month = admitted(&mut transaction, key, Window::Month, now).await?;
        let month = Window::Month.number(now);
        let begin = Window::Month.end(month.saturating_sub(1));
        let query = sqlx::query_as(BY_CODE).bind(key).bind(begin.div_euclid(HOUR));
        let rows: Vec<(String, i64)> = query.fetch_all(&mut *transaction).await?;
        let by_code = Outcome::ALL.map(|outcome| {
            let code = outcome.code().as_str();
            let requests = rows.iter().find_map(|(stored, requests)| (stored == code).then_some(*requests));
            (code, requests.unwrap_or(0).cast_unsigned())
        });
        Ok(KeyUsage { requests_today, requests_this_month, by_code })
    }

    /// What `query` asks for, in the order of times, keys and codes; none if that is more than `limit` buckets.
    pub(crate) async fn usage(&self, query: &UsageQuery<'_>, limit: usize) -> Result<Option<Vec<Bucket>>, StoreError> {
        // Of so many rows, which are of different hours, at least one more than `limit` buckets are made.
        let rows_of_a_bucket = if query.resolution == Resolution::Day { HOURS } else { 1 };
        let bound = limit.saturating_mul(rows_of_a_bucket);
        let mut select = select(query, i64::try_from(bound).unwrap_or(i64::MAX).saturating_add(1));
        let rows: Vec<(i64, String, String, i64)> = select.build_query_as().fetch_all(&self.0.readers).await?;
        if rows.len() > bound {
            return Ok(None);
        }
        let mut sums = BTreeMap::new();
        for (hour, key_id, code, requests) in rows {
            let start = query.resolution.start(hour.saturating_mul(HOUR));
            *sums.entry((start, key_id, code)).or_default() += requests.cast_unsigned();
        }
        let buckets =
            sums.into_iter().map(|((start, key_id, code), requests)| Bucket { start, key_id, code, requests });
        Ok(Some(buckets.collect::<Vec<_>>()).filter(|buckets| buckets.len() <= limit))
    }
}

/// What all nodes together have admitted with a key in the window that `now` is in; of no key, nothing.
pub(in crate::store) async fn admitted(
    from: &mut SqliteConnection,
    key: Option<i64>,
    window: Window,
    now: i64,
) -> Result<u64, StoreError> {
    const QUERY: &str = "SELECT count FROM window_counts WHERE kind = ? AND number = ? AND key_seq = ?";
    let query = sqlx::query_scalar(QUERY).bind(kind(window)).bind(window.number(now)).bind(key);
    let count: Option<i64> = query.fetch_optional(from).await?;
    Ok(count.unwrap_or(0).cast_unsigned())
}

fn select(query: &UsageQuery<'_>, limit: i64) -> QueryBuilder<Sqlite> {
    let hours = query.times.start.div_euclid(HOUR)..query.times.end.div_euclid(HOUR);
    // In this order, so that what it costs depends on the account's keys and not on all that was ever counted.
    let mut select = QueryBuilder::<Sqlite>::new(
        "SELECT b.hour, k.id, b.code, b.requests FROM keys k CROSS JOIN usage_buckets b ON b.key_seq = k.seq \
         WHERE k.account_id = ",
    );
    select.push_bind(query.account_id);
    select.push(" AND b.hour >= ").push_bind(hours.start).push(" AND b.hour < ").push_bind(hours.end);
    if let Some(key_id) = query.key_id {
        select.push(" AND k.id = ").push_bind(key_id);
    }
    if let Some(outcome) = query.code {
        select.push(" AND b.code = ").push_bind(outcome.code().as_str());
    }
    select.push(" LIMIT ").push_bind(limit);
    select
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::AssertSqlSafe;

    /// How SQLite finds the rows, step by step.
    async fn plan(key_id: Option<&str>) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("latchkey.db")).await.unwrap();
        let query = UsageQuery { account_id: "", times: 0..DAY, resolution: Resolution::Hour, key_id, code: None };
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", select(&query, 1).sql().as_str()));
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(&store.0.readers).await.unwrap();
        steps.into_iter().map(|(.., step)| step).collect()
    }

    #[tokio::test]
    async fn only_the_accounts_keys_are_looked_at() {
        let buckets = "SEARCH b USING PRIMARY KEY (key_seq=? AND hour>? AND hour<?)";
        assert_eq!(plan(None).await, ["SEARCH k USING INDEX keys_account (account_id=?)", buckets]);
        assert_eq!(plan(Some("")).await, ["SEARCH k USING INDEX sqlite_autoindex_keys_1 (id=?)", buckets]);
    }
}
