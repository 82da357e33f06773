//! Which keys had requests, and which of them the most, from their sums by day.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::BTreeSet;

use super::buckets::{UsageQuery, push_sum, push_which};
use super::{DAY, HOUR};
use crate::store::page::TOTAL_LIMIT;
use crate::store::{StoreError, Total, to_json};

/// Keys of a day and a code that are looked at first, and at most, for those with the most requests.
const FIRST_CANDIDATES: u32 = 200;
const MAX_CANDIDATES: u32 = 5_000;

/// Days that are looked through for keys, times the number of their keys.
const MAX_ROWS: u32 = 250_000;

/// The numbers of some keys.
pub(super) struct UsedKeys {
    pub(super) seqs: Vec<i64>,
    /// Whether there may be keys that should be here instead.
    pub(super) is_estimate: bool,
}

/// The keys that had such requests, `limit` at most.
pub(super) async fn used(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    limit: usize,
) -> Result<UsedKeys, StoreError> {
    let mut select = QueryBuilder::new("");
    push_used(&mut select, query, i64::try_from(limit).unwrap_or(i64::MAX), true);
    let seqs = select.build_query_scalar().fetch_all(on).await?;
    Ok(UsedKeys { seqs, is_estimate: false })
}

/// How many keys had such requests, those whose details are deleted included.
pub(super) async fn count(on: &mut SqliteConnection, query: &UsageQuery<'_>) -> Result<Total, StoreError> {
    let mut rows = QueryBuilder::new("SELECT COUNT(*) FROM (SELECT 1 FROM (");
    push_days(&mut rows, query);
    let rows = rows.push(") LIMIT ").push_bind(MAX_ROWS).push(")").build_query_scalar();
    let rows: u32 = rows.fetch_one(&mut *on).await?;
    let mut count = QueryBuilder::new("SELECT COUNT(*) FROM (");
    push_used(&mut count, query, i64::from(TOTAL_LIMIT) + 1, false);
    count.push(")");
    let keys: i64 = count.build_query_scalar().fetch_one(on).await?;
    Ok(Total::counted(keys.cast_unsigned(), rows < MAX_ROWS))
}

/// The keys with the most requests, the first one has the most.
///
/// Candidates are those that had the most on a day. No other key can have more than the last candidates of all days had
/// together: if that is less than what the last of the top keys has, they are the right ones; else there are more
/// candidates, up to a number.
pub(super) async fn keys(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    top_keys: u32,
) -> Result<UsedKeys, StoreError> {
    let days = days(on, query).await?;
    let mut wanted = FIRST_CANDIDATES.max(top_keys.saturating_add(1));
    loop {
        let (mut candidates, mut bound) = (BTreeSet::new(), 0_i64);
        for (day, code) in &days {
            let most = most(on, query, *day, code, wanted).await?;
            if most.len() >= usize::try_from(wanted).unwrap_or(usize::MAX) {
                bound = bound.saturating_add(most.last().map_or(0, |(_, requests)| *requests));
            }
            candidates.extend(most.into_iter().map(|(seq, _)| seq));
        }
        let top = sums(on, query, &candidates, top_keys).await?;
        let full = top.len() >= usize::try_from(top_keys).unwrap_or(usize::MAX);
        let least = top.last().filter(|_| full).map_or(0, |(_, requests)| *requests);
        let is_exact = bound == 0 || bound < least;
        if is_exact || wanted >= MAX_CANDIDATES {
            return Ok(UsedKeys { seqs: top.into_iter().map(|(seq, _)| seq).collect(), is_estimate: !is_exact });
        }
        wanted = wanted.saturating_mul(5).min(MAX_CANDIDATES);
    }
}

/// The days and codes of which there are requests.
async fn days(on: &mut SqliteConnection, query: &UsageQuery<'_>) -> Result<Vec<(i64, String)>, StoreError> {
    let mut select = QueryBuilder::new("SELECT DISTINCT b.hour / 24, b.code FROM usage_sums b WHERE b.account_id = ");
    select.push_bind(query.account_id.to_owned()).push(" AND ");
    push_which(&mut select, query);
    Ok(select.build_query_as().fetch_all(on).await?)
}

/// The keys with the most requests of a day and a code.
async fn most(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    day: i64,
    code: &str,
    wanted: u32,
) -> Result<Vec<(i64, i64)>, StoreError> {
    const MOST: &str = "SELECT key_seq, requests FROM usage_days WHERE account_id = ? AND day = ? AND code = ? \
         ORDER BY requests DESC LIMIT ?";
    let most = sqlx::query_as(MOST).bind(query.account_id).bind(day).bind(code).bind(wanted);
    Ok(most.fetch_all(on).await?)
}

/// What these keys had in all, those with the most first.
async fn sums(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    candidates: &BTreeSet<i64>,
    top_keys: u32,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let mut select = QueryBuilder::<Sqlite>::new("SELECT k.seq, ");
    push_sum(&mut select);
    select.push(" AS total FROM json_each(").push_bind(to_json(candidates)?);
    select.push(") AS listed CROSS JOIN keys k ON k.seq = listed.value ");
    if is_whole_days(query) {
        let days = query.days();
        select.push("CROSS JOIN usage_days b ON b.account_id = ").push_bind(query.account_id.to_owned());
        select.push(" AND b.key_seq = k.seq AND b.day IN (SELECT value FROM json_each(");
        select.push_bind(to_json(&days.collect::<Vec<_>>())?).push(")) AND b.code IN (SELECT value FROM json_each(");
        select.push_bind(to_json(&query.codes())?).push("))");
    } else {
        select.push("CROSS JOIN usage_buckets b ON b.key_seq = k.seq WHERE ");
        push_which(&mut select, query);
    }
    select.push(" GROUP BY k.seq ORDER BY total DESC, k.id LIMIT ").push_bind(top_keys);
    Ok(select.build_query_as().fetch_all(on).await?)
}

/// Selects the numbers of keys that had such requests, `limit` at most; only of keys that there are, if they must exist.
fn push_used(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>, limit: i64, must_exist: bool) {
    to.push("SELECT used.key_seq FROM (SELECT DISTINCT key_seq FROM (");
    push_days(to, query);
    to.push(" LIMIT ").push_bind(MAX_ROWS).push(")) AS used WHERE TRUE");
    if must_exist {
        to.push(" AND EXISTS (SELECT 1 FROM keys WHERE seq = used.key_seq)");
    }
    if !is_whole_days(query) {
        to.push(" AND EXISTS (SELECT 1 FROM usage_buckets b WHERE b.key_seq = used.key_seq AND ");
        push_which(to, query);
        to.push(")");
    }
    to.push(" LIMIT ").push_bind(limit);
}

/// Selects the keys of all days and codes.
fn push_days(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>) {
    let days = query.days();
    to.push("SELECT key_seq FROM usage_days WHERE account_id = ").push_bind(query.account_id.to_owned());
    to.push(" AND day >= ").push_bind(days.start).push(" AND day < ").push_bind(days.end);
    if let Some(outcome) = query.code {
        to.push(" AND code = ").push_bind(outcome.code().as_str());
    }
}

fn is_whole_days(query: &UsageQuery<'_>) -> bool {
    let (hours, day) = (query.hours(), DAY / HOUR);
    hours.start % day == 0 && hours.end % day == 0
}
