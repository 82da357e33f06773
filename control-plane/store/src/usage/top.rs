//! The keys that had requests, and those with the most, calculated from their sums by day.

use latchkey_policy::verdict::Code;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use super::query::{UsageQuery, push_code, push_sum, push_which};
use super::{DAY, HOUR};
use crate::page::TOTAL_LIMIT;
use crate::{StoreError, Total, to_json};

/// The numbers of keys of a day and a code that are examined at first, and at most, to find those
/// with the most requests.
const FIRST_CANDIDATES: u32 = 200;
const MORE_CANDIDATES: u32 = 800;

/// The maximum number of candidates of all days and codes together, or twice the top keys if that
/// is more. Each candidate is looked up for each day and code.
const MAX_CANDIDATES: usize = 300;

/// The maximum number of rows, one for each day and key, that are searched for keys.
const MAX_ROWS: u32 = 250_000;

/// The numbers of some keys.
pub(super) struct UsedKeys {
    pub(super) seqs: Vec<i64>,
    /// True if other keys may belong here instead.
    pub(super) is_estimate: bool,
}

/// Returns at most `limit` keys that had such requests.
pub(super) async fn used(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    limit: usize,
) -> Result<UsedKeys, StoreError> {
    let mut select = QueryBuilder::new("");
    push_used(
        &mut select,
        query,
        i64::try_from(limit).unwrap_or(i64::MAX),
        true,
    );
    let seqs = select.build_query_scalar().fetch_all(on).await?;
    Ok(UsedKeys {
        seqs,
        is_estimate: false,
    })
}

/// Counts the keys that had such requests, including those whose details are deleted.
pub(super) async fn count(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
) -> Result<Total, StoreError> {
    let mut count = QueryBuilder::new("SELECT COUNT(*) FROM (");
    push_used(&mut count, query, i64::from(TOTAL_LIMIT) + 1, false);
    count.push(")");
    let keys: i64 = count.build_query_scalar().fetch_one(&mut *on).await?;

    // With more keys than are counted the total is an estimate anyway.
    let all_rows = keys > i64::from(TOTAL_LIMIT) || {
        let mut rows = QueryBuilder::new("SELECT COUNT(*) FROM (SELECT 1 FROM (");
        push_days(&mut rows, query, &query.days());
        rows.push(") LIMIT ").push_bind(MAX_ROWS).push(")");
        rows.build_query_scalar::<u32>().fetch_one(on).await? < MAX_ROWS
    };
    Ok(Total::counted(keys.cast_unsigned(), all_rows))
}

/// Returns the keys with the most requests, in descending order.
///
/// The candidates are the keys with the most requests on a day. No other key can have more than the
/// sum of the last candidates of all days. If there are too many candidates, an omitted one cannot
/// have more than that plus its known requests. If this bound is below the last of the top keys,
/// the result is exact; otherwise there are more candidates, up to a maximum.
pub(super) async fn keys(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    top_keys: u32,
) -> Result<UsedKeys, StoreError> {
    let days = days(on, query).await?;
    let limit = usize::try_from(top_keys).unwrap_or(usize::MAX);
    let max_candidates = MAX_CANDIDATES.max(limit.saturating_mul(2));
    let mut wanted = FIRST_CANDIDATES.max(top_keys.saturating_add(1));
    loop {
        let (mut scores, mut bound) = (HashMap::<i64, i64>::new(), 0_i64);
        for (day, code) in &days {
            let most = most(on, query, *day, code, wanted).await?;
            if most.len() >= usize::try_from(wanted).unwrap_or(usize::MAX) {
                bound = bound.saturating_add(most.last().map_or(0, |(_, requests)| *requests));
            }
            for (seq, requests) in most {
                let score = scores.entry(seq).or_default();
                *score = score.saturating_add(requests);
            }
        }
        let too_many = scores.len() > max_candidates;
        let mut candidates: Vec<_> = scores.into_iter().collect();
        candidates.sort_unstable_by_key(|(seq, score)| (Reverse(*score), *seq));
        // No omitted key has more.
        let bound = bound.saturating_add(
            candidates
                .get(max_candidates)
                .map_or(0, |(_, score)| *score),
        );
        candidates.truncate(max_candidates);
        let candidates: Vec<_> = candidates.into_iter().map(|(seq, _)| seq).collect();
        let top = sums(on, query, &candidates, top_keys).await?;
        let full = top.len() >= limit;
        let least = top
            .last()
            .filter(|_| full)
            .map_or(0, |(_, requests)| *requests);
        let is_exact = bound == 0 || bound < least;
        if is_exact || too_many || wanted >= MORE_CANDIDATES {
            return Ok(UsedKeys {
                seqs: top.into_iter().map(|(seq, _)| seq).collect(),
                is_estimate: !is_exact,
            });
        }
        wanted = MORE_CANDIDATES;
    }
}

/// Returns the days and codes that have requests.
async fn days(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
) -> Result<Vec<(i64, String)>, StoreError> {
    let mut select = QueryBuilder::new(
        "SELECT DISTINCT b.hour / 24, b.code FROM usage_sums b WHERE b.account_id = ",
    );
    select.push_bind(query.account_id.to_owned()).push(" AND ");
    push_which(&mut select, query);
    Ok(select.build_query_as().fetch_all(on).await?)
}

/// Returns the keys with the most requests of a day and a code.
async fn most(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    day: i64,
    code: &str,
    wanted: u32,
) -> Result<Vec<(i64, i64)>, StoreError> {
    // SQLite would rather read and sort all keys of the day.
    const MOST: &str = "SELECT key_seq, requests FROM usage_days INDEXED BY usage_days_most \
         WHERE account_id = ? AND day = ? AND code = ? ORDER BY requests DESC LIMIT ?";
    let most = sqlx::query_as(MOST)
        .bind(query.account_id)
        .bind(day)
        .bind(code)
        .bind(wanted);
    Ok(most.fetch_all(on).await?)
}

/// Returns the total requests of these keys, in descending order. Whole days are counted by day,
/// and both ends by hour.
async fn sums(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    candidates: &[i64],
    top_keys: u32,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let (hours, days, day) = (query.hours(), whole_days(query), DAY / HOUR);
    let (before, behind) = (
        days.start.saturating_mul(day).min(hours.end),
        days.end.saturating_mul(day),
    );
    let list = to_json(&candidates)?;
    let mut select = QueryBuilder::<Sqlite>::new("SELECT k.seq, ");
    push_sum(&mut select);
    select.push(" AS total FROM (");
    for hours in [hours.start..before, behind.max(before)..hours.end] {
        select
            .push("SELECT b.key_seq, b.requests FROM json_each(")
            .push_bind(list.clone());
        select.push(
            ") AS listed CROSS JOIN usage_buckets b ON b.key_seq = listed.value WHERE b.hour >= ",
        );
        select
            .push_bind(hours.start)
            .push(" AND b.hour < ")
            .push_bind(hours.end);
        push_code(&mut select, query);
        select.push(" UNION ALL ");
    }
    let pairs = self::days(on, query)
        .await?
        .into_iter()
        .filter(|(day, _)| days.contains(day));
    select
        .push("SELECT b.key_seq, b.requests FROM json_each(")
        .push_bind(list);
    select
        .push(") AS listed CROSS JOIN json_each(")
        .push_bind(to_json(&pairs.collect::<Vec<_>>())?);
    select
        .push(") AS days CROSS JOIN usage_days b ON b.account_id = ")
        .push_bind(query.account_id.to_owned());
    select.push(
        " AND b.day = days.value->>0 AND b.code = days.value->>1 AND b.key_seq = listed.value",
    );
    select.push(") AS used CROSS JOIN keys k ON k.seq = used.key_seq GROUP BY k.seq ORDER BY total DESC, k.id LIMIT ");
    select.push_bind(top_keys);
    Ok(select.build_query_as().fetch_all(on).await?)
}

/// Selects the numbers of at most `limit` keys that had such requests; only of existing keys if
/// `must_exist`. Whole days come first: only keys of the other days are looked up by hour. Of the
/// whole days the newest come first: they are likely to have the most keys, so that the limit is
/// reached early.
fn push_used(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>, limit: i64, must_exist: bool) {
    let (days, whole) = (query.days(), whole_days(query));
    to.push("SELECT used.key_seq FROM (SELECT DISTINCT key_seq FROM (SELECT key_seq FROM (");
    push_days(to, query, &whole);
    to.push(" ORDER BY day DESC LIMIT ")
        .push_bind(MAX_ROWS)
        .push(")");
    for rest in [
        days.start..whole.start.min(days.end),
        whole.end.max(days.start)..days.end,
    ] {
        if rest.is_empty() {
            continue;
        }
        to.push(" UNION ALL SELECT rest.key_seq FROM (");
        push_days(to, query, &rest);
        to.push(" LIMIT ").push_bind(MAX_ROWS);
        to.push(") AS rest WHERE EXISTS (SELECT 1 FROM usage_buckets b WHERE b.key_seq = rest.key_seq AND ");
        push_which(to, query);
        to.push(")");
    }
    to.push(")) AS used WHERE TRUE");
    if must_exist {
        to.push(" AND EXISTS (SELECT 1 FROM keys WHERE seq = used.key_seq)");
    }
    to.push(" LIMIT ").push_bind(limit);
}

/// Selects the keys of some days, once for each day and code.
fn push_days(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>, days: &Range<i64>) {
    to.push("SELECT key_seq FROM usage_days WHERE account_id = ")
        .push_bind(query.account_id.to_owned());
    to.push(" AND day >= ").push_bind(days.start);
    to.push(" AND day < ").push_bind(days.end);
    if let Some(outcome) = query.code {
        to.push(" AND code = ")
            .push_bind(Code::from(outcome).as_str());
    }
}

/// Returns the whole days of the query. The range is empty if there is none, and then lies within
/// or next to the query's day.
fn whole_days(query: &UsageQuery<'_>) -> Range<i64> {
    let (hours, day) = (query.hours(), DAY / HOUR);
    let first = hours.start.saturating_add(day - 1).div_euclid(day);
    first..hours.end.div_euclid(day).max(first)
}
