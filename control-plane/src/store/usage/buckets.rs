//! Requests by time, key and code, or by some of these, summed up by the database.

use latchkey_policy::meter::Outcome;
use sqlx::{QueryBuilder, Sqlite};
use std::ops::Range;

use super::{DAY, HOUR, MAX_REQUESTS};
use crate::store::{Store, StoreError};

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

/// What is told apart; requests are summed up over the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) time: bool,
    pub(crate) key: bool,
    pub(crate) code: bool,
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
    pub(crate) group: Group,
    /// Only so many keys, those with the most requests. It takes `group.key`.
    pub(crate) top_keys: Option<u32>,
}

impl UsageQuery<'_> {
    fn hours(&self) -> Range<i64> {
        self.times.start.div_euclid(HOUR)..self.times.end.div_euclid(HOUR)
    }

    /// Of so many rows of different keys, hours and codes, at least one more than `limit` buckets by key are made.
    fn rows(&self, limit: i64) -> i64 {
        let hours = self.hours();
        let hours =
            if self.group.time { self.resolution.seconds() / HOUR } else { hours.end.saturating_sub(hours.start) };
        let codes = if self.group.code || self.code.is_some() { 1 } else { Outcome::ALL.len() };
        let of_a_bucket = hours.saturating_mul(i64::try_from(codes).unwrap_or(i64::MAX));
        limit.saturating_mul(of_a_bucket).saturating_add(1)
    }
}

/// A key, and what it is called now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedKey {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// Requests that have in common what is told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Unix seconds.
    pub(crate) start: Option<i64>,
    pub(crate) key: Option<NamedKey>,
    pub(crate) code: Option<String>,
    /// At most [`MAX_REQUESTS`].
    pub(crate) requests: u64,
}

/// What a query finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsageFound {
    /// In the order of times, keys and codes; with `top_keys` the key with the most requests first.
    pub(crate) buckets: Vec<Bucket>,
    /// How many keys had such requests, whether or not they are told apart.
    pub(crate) keys: u64,
}

/// Time, key, its name, code and requests.
type Row = (Option<i64>, Option<String>, Option<String>, Option<String>, i64);

impl Store {
    /// What `query` asks for; none if that is more than `limit` buckets.
    pub(crate) async fn usage(&self, query: &UsageQuery<'_>, limit: usize) -> Result<Option<UsageFound>, StoreError> {
        let mut transaction = self.0.lists.begin().await?;
        let rows: Vec<Row> = select(query, limit).build_query_as().fetch_all(&mut *transaction).await?;
        if rows.len() > limit {
            return Ok(None);
        }
        let keys: i64 = count(query).build_query_scalar().fetch_one(&mut *transaction).await?;
        let bucket = |(time, id, name, code, requests): Row| Bucket {
            start: time.map(|time| time.saturating_mul(query.resolution.seconds())),
            key: id.zip(name).map(|(id, name)| NamedKey { id, name }),
            code,
            requests: requests.cast_unsigned(),
        };
        let buckets = rows.into_iter().map(bucket).collect();
        Ok(Some(UsageFound { buckets, keys: keys.cast_unsigned() }))
    }
}

/// The buckets, one more than `limit` at most.
fn select(query: &UsageQuery<'_>, limit: usize) -> QueryBuilder<Sqlite> {
    let Group { time, key, code } = query.group;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select = QueryBuilder::<Sqlite>::new("WITH ");
    if let Some(top_keys) = query.top_keys {
        select.push("top AS MATERIALIZED (SELECT k.seq, ");
        push_sum(&mut select);
        select.push(" AS total FROM ");
        push_counted(&mut select, query);
        select.push(" GROUP BY k.seq ORDER BY total DESC, k.id LIMIT ").push_bind(top_keys).push("), ");
    }
    let of_time = if query.resolution == Resolution::Day { "b.hour / 24" } else { "b.hour" };
    let column = |wanted: bool, column: &'static str| if wanted { column } else { "NULL" };
    select.push("counted AS (SELECT ").push(column(time, of_time)).push(" AS time, ");
    select.push(column(key, "b.key_seq")).push(" AS seq, ").push(column(code, "b.code")).push(" AS code, ");
    select.push("b.requests FROM ");
    if query.top_keys.is_some() {
        select.push("top CROSS JOIN usage_buckets b ON b.key_seq = top.seq WHERE ");
        push_which(&mut select, query);
    } else {
        push_counted(&mut select, query);
    }
    if key {
        select.push(" LIMIT ").push_bind(query.rows(limit));
    }
    select.push("), summed AS (SELECT time, seq, code, ");
    push_sum(&mut select);
    let group = [(time, "time"), (key, "seq"), (code, "code")].into_iter().filter(|(wanted, _)| *wanted);
    let group: Vec<_> = group.map(|(_, column)| column).collect();
    select.push(" AS total FROM counted GROUP BY ").push(group.join(", "));
    select.push(" LIMIT ").push_bind(limit.saturating_add(1));
    select.push(") SELECT s.time, k.id, k.name, s.code, s.total FROM summed s LEFT JOIN keys k ON k.seq = s.seq ");
    select.push(match query.top_keys {
        Some(_) => "JOIN top ON top.seq = s.seq ORDER BY top.total DESC, k.id, s.time, s.code",
        None => "ORDER BY s.time, k.id, s.code",
    });
    select
}

/// How many keys have what is counted.
fn count(query: &UsageQuery<'_>) -> QueryBuilder<Sqlite> {
    let mut count = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM keys k WHERE ");
    push_whose(&mut count, query);
    count.push(" AND EXISTS (SELECT 1 FROM usage_buckets b WHERE b.key_seq = k.seq AND ");
    push_which(&mut count, query);
    count.push(")");
    count
}

/// As much as a bucket can say. `TOTAL` is exact up to there, and does not fail beyond.
fn push_sum(to: &mut QueryBuilder<Sqlite>) {
    to.push("CAST(MIN(TOTAL(requests), ").push_bind(MAX_REQUESTS.cast_signed()).push(") AS INTEGER)");
}

/// All that is asked for. In this order, so that what it costs depends on the account's keys and not on all that was ever
/// counted.
fn push_counted(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>) {
    to.push("keys k CROSS JOIN usage_buckets b ON b.key_seq = k.seq WHERE ");
    push_whose(to, query);
    to.push(" AND ");
    push_which(to, query);
}

fn push_whose(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>) {
    to.push("k.account_id = ").push_bind(query.account_id);
    if let Some(key_id) = query.key_id {
        to.push(" AND k.id = ").push_bind(key_id);
    }
}

fn push_which(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>) {
    let hours = query.hours();
    to.push("b.hour >= ").push_bind(hours.start).push(" AND b.hour < ").push_bind(hours.end);
    if let Some(outcome) = query.code {
        to.push(" AND b.code = ").push_bind(outcome.code().as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OpenMode;
    use sqlx::AssertSqlSafe;

    const ALL: Group = Group { time: true, key: true, code: true };

    async fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("latchkey.db"), OpenMode::CreateIfMissing).await.unwrap();
        (directory, store)
    }

    fn query(key_id: Option<&str>, group: Group, top_keys: Option<u32>) -> UsageQuery<'_> {
        let (times, resolution) = (0..DAY, Resolution::Hour);
        UsageQuery { account_id: "acc", times, resolution, key_id, code: None, group, top_keys }
    }

    /// How SQLite finds the rows, step by step.
    async fn plan(store: &Store, select: QueryBuilder<Sqlite>) -> Vec<String> {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", select.sql().as_str()));
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(&store.0.readers).await.unwrap();
        steps.into_iter().map(|(.., step)| step).collect()
    }

    #[tokio::test]
    async fn only_the_accounts_keys_are_looked_at() {
        let (_directory, store) = store().await;
        let of_account = "k USING INDEX keys_account (account_id=?)";
        let of_key = "k USING INDEX sqlite_autoindex_keys_1 (id=?)";
        let buckets = "SEARCH b USING PRIMARY KEY (key_seq=? AND hour>? AND hour<?)";
        let by_time = Group { key: false, ..ALL };
        for (key_id, group, top_keys) in
            [(None, ALL, None), (None, by_time, None), (None, ALL, Some(1)), (Some("key"), ALL, None)]
        {
            let query = query(key_id, group, top_keys);
            let keys = if key_id.is_some() { of_key } else { of_account };
            for select in [select(&query, 1), count(&query)] {
                let plan = plan(&store, select).await;
                let searched =
                    |step: &&String| step.contains(" b ") || step.contains(" k USING") && !step.contains("rowid");
                let searches: Vec<_> = plan
                    .iter()
                    .filter(searched)
                    .map(|step| step.replace("COVERING ", "").replace(" EXISTS", ""))
                    .collect();
                assert!(searches[0].ends_with(keys), "{plan:#?}");
                assert!(searches[1..].iter().all(|step| step.trim() == buckets), "{plan:#?}");
            }
        }
    }
}
