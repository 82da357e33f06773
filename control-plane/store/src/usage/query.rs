//! Queries of usage: the requests to sum up, and the dimensions to group them by.

use latchkey_policy::meter::Outcome;
use latchkey_policy::verdict::Code;
use sqlx::{QueryBuilder, Sqlite};
use std::ops::Range;

use super::{DAY, HOUR, MAX_REQUESTS};

/// The length of the periods over which requests are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Resolution {
    /// Returns the start of the bucket that contains a Unix second.
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

/// The dimensions to group by. Requests are summed up over the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// True to group by bucket of time.
    pub time: bool,
    /// True to group by key.
    pub key: bool,
    /// True to group by verdict.
    pub code: bool,
}

/// The filters and the grouping of a usage query.
#[derive(Debug)]
pub struct UsageQuery<'a> {
    /// The account.
    pub account_id: &'a str,
    /// The time range in Unix seconds, in whole buckets.
    pub times: Range<i64>,
    /// The length of buckets.
    pub resolution: Resolution,
    /// The only key, if any.
    pub key_id: Option<&'a str>,
    /// The only verdict, if any.
    pub code: Option<Outcome>,
    /// The grouping.
    pub group: Group,
    /// The number of keys, which are those with the most requests. It requires `group.key`.
    pub top_keys: Option<u32>,
}

impl UsageQuery<'_> {
    /// Returns the hours of its time range.
    pub(super) fn hours(&self) -> Range<i64> {
        self.times.start.div_euclid(HOUR)..self.times.end.div_euclid(HOUR)
    }

    /// Returns a number of rows with different keys, hours and codes that always make at least one
    /// more than `limit` buckets by key.
    pub(super) fn max_rows(&self, limit: i64) -> i64 {
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

    /// Returns the days that contain its hours.
    pub(super) fn days(&self) -> Range<i64> {
        let hours = self.hours();
        let end = hours
            .end
            .saturating_add(DAY / HOUR - 1)
            .div_euclid(DAY / HOUR);
        hours.start.div_euclid(DAY / HOUR)..end
    }
}

/// Appends a sum that is capped at the maximum of a bucket. `TOTAL` is exact up to there, and does
/// not fail beyond.
pub(super) fn push_sum(to: &mut QueryBuilder<Sqlite>) {
    to.push("CAST(MIN(TOTAL(requests), ")
        .push_bind(MAX_REQUESTS.cast_signed())
        .push(") AS INTEGER)");
}

/// Appends the condition on rows of `b` with the hours and the code of the query.
pub(super) fn push_which(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>) {
    let hours = query.hours();
    to.push("b.hour >= ")
        .push_bind(hours.start)
        .push(" AND b.hour < ")
        .push_bind(hours.end);
    push_code(to, query);
}

/// Appends the condition on rows of `b` with the code of the query, if it has one.
pub(super) fn push_code(to: &mut QueryBuilder<Sqlite>, query: &UsageQuery<'_>) {
    if let Some(outcome) = query.code {
        to.push(" AND b.code = ")
            .push_bind(Code::from(outcome).as_str());
    }
}
