//! What was admitted with keys in the calendar's windows, and what an Envoy process is to know of
//! it.
//!
//! `window_counts` has the sums over all processes, `node_usage` what each of them said of itself.
//! So what a process is to know of the others is the sum less its own, and costs the same however
//! many others there are and ever were.

use latchkey_policy::limit::Window;
use sqlx::{FromRow, QueryBuilder, Sqlite};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Windows, kind, padded};
use crate::json::{from_json, to_json};
use crate::{Store, StoreError};

/// How far clocks may be behind, in seconds. A window that such a clock is in counts as current.
/// Nodes begin a window that they are told of if it is no further ahead of their own clock.
const SKEW: i64 = 60;

/// How far clocks may be ahead, in seconds. What a node with such a clock admits is taken from the
/// others' next windows. What is further ahead is held back.
const AHEAD: i64 = 300;

/// Requests that were admitted in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Which window of its kind.
    pub number: u32,
    /// The number of requests.
    pub count: u32,
}

impl Count {
    /// How many more these are than what the same process said `before`: a newer window takes the
    /// place of the older, and within one counts only grow.
    pub(super) fn since(self, before: Option<Self>) -> u32 {
        match before {
            Some(before) if before.number > self.number => 0,
            Some(before) if before.number == self.number => self.count.saturating_sub(before.count),
            _ => self.count,
        }
    }
}

/// The windows that some clock may be in at present.
#[derive(Debug, Clone, Copy)]
pub struct Current {
    now: i64,
}

impl Current {
    /// At `now`, in Unix seconds.
    pub fn at(now: i64) -> Self {
        Self { now }
    }

    fn numbers(self, window: Window) -> RangeInclusive<u32> {
        window.number(self.now.saturating_sub(SKEW))..=window.number(self.now.saturating_add(AHEAD))
    }

    /// Whether a window begins too far in the future.
    pub(super) fn is_ahead(self, window: Window, number: u32) -> bool {
        number > window.number(self.now.saturating_add(AHEAD))
    }

    /// Whether nodes whose clocks agree with ours can be in the window.
    fn is_near(self, window: Window, number: u32) -> bool {
        number <= window.number(self.now.saturating_add(SKEW))
    }

    /// Whether one of them has this number.
    pub fn contains(self, window: Window, number: u32) -> bool {
        self.numbers(window).contains(&number)
    }

    /// Whether one of `windows` is among them.
    pub fn has_any(self, windows: &Windows) -> bool {
        let mut windows = Window::ALL.into_iter().zip(windows);
        windows
            .any(|(window, count)| count.is_some_and(|count| self.contains(window, count.number)))
    }

    /// Kinds and numbers, as they are stored.
    fn stored(self) -> Vec<(i32, u32)> {
        Window::ALL
            .into_iter()
            .flat_map(|window| {
                self.numbers(window)
                    .map(move |number| (kind(window), number))
            })
            .collect()
    }
}

/// What one Envoy process is to know of the others' use of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elsewhere {
    /// The key's number.
    pub key: u64,
    /// The slot in which nodes count it.
    pub slot: u32,
    /// Sums over the others; none where there is nothing to tell.
    pub windows: Windows,
}

/// What was admitted with a live key in the current windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCounts {
    /// The key's number.
    pub key: u64,
    /// The slot in which nodes count it.
    pub slot: u32,
    /// By all processes: sums by the number of each kind's windows, the oldest first.
    sums: [Vec<(u32, u64)>; Window::ALL.len()],
    /// What some of those that were asked for said, by their index among them, of their newest
    /// windows.
    pub processes: Vec<(usize, Windows)>,
}

impl KeyCounts {
    /// What a process is to know that said `own` of itself: of each kind the newest window that has
    /// been used and that our clock is in or near to, or the process' own one if its clock is
    /// further ahead. None if others have used no such window.
    pub fn elsewhere(&self, own: &Windows, current: Current) -> Option<Elsewhere> {
        let mut windows = Windows::default();
        for (window, (told, (own, sums))) in Window::ALL
            .into_iter()
            .zip(windows.iter_mut().zip(own.iter().zip(&self.sums)))
        {
            let ahead = own
                .filter(|own| !current.is_near(window, own.number))
                .map(|own| own.number);
            let relevant = |(number, _): &&(u32, u64)| match ahead {
                Some(ahead) => *number == ahead,
                None => current.is_near(window, *number),
            };
            let Some(&(number, sum)) = sums.iter().rev().find(relevant) else {
                continue;
            };
            let own = own
                .filter(|own| own.number == number)
                .map_or(0, |own| own.count);
            let others = sum.saturating_sub(own.into());
            let count = u32::try_from(others).unwrap_or(u32::MAX);
            *told = (count > 0).then_some(Count { number, count });
        }
        let Self { key, slot, .. } = *self;
        windows
            .iter()
            .any(Option::is_some)
            .then_some(Elsewhere { key, slot, windows })
    }
}

/// Some of the keys that were used, in the order of their numbers.
#[derive(Debug)]
pub struct ElsewherePage {
    /// The keys.
    pub keys: Vec<Elsewhere>,
    /// Behind which key the next page begins; none after the last.
    pub next: Option<u64>,
}

impl Store {
    /// What was admitted in the `current` windows with those of `keys` that are live; and what
    /// `instances` said of it, such as have used the key.
    pub async fn counts(
        &self,
        keys: &[u64],
        instances: &[&str],
        current: Current,
    ) -> Result<Vec<KeyCounts>, StoreError> {
        // Each of these is a look-up by a whole primary key. Texts are joined as they are stored,
        // which is JSON.
        const QUERY: &str = "WITH \
             current (kind, number) AS MATERIALIZED (SELECT value->>0, value->>1 FROM json_each(?1)), \
             instances (position, instance) AS MATERIALIZED (SELECT key, value FROM json_each(?2)) \
             SELECT k.seq, k.slot, \
             (SELECT json_group_array(json_array(w.kind, w.number, w.count)) FROM current c CROSS JOIN window_counts w \
             ON w.kind = c.kind AND w.number = c.number AND w.key_seq = k.seq) AS sums, \
             (SELECT '[' || COALESCE(group_concat('[' || i.position || ',' || u.windows || ']'), '') || ']' \
             FROM instances i CROSS JOIN node_usage u ON u.instance = i.instance AND u.key_seq = k.seq) AS processes \
             FROM keys k WHERE k.seq IN (SELECT value FROM json_each(?3)) AND k.slot IS NOT NULL \
             ORDER BY k.seq";
        let query = sqlx::query_as(QUERY).bind(to_json(&current.stored())?);
        let query = query.bind(to_json(&instances)?).bind(to_json(&keys)?);
        let rows: Vec<Row> = query.fetch_all(&self.0.readers).await?;
        rows.into_iter().map(KeyCounts::try_from).collect()
    }

    /// What `instance` is to know of the others, of at most `limit` keys behind the number `after`:
    /// of all keys that anybody has used in the `current` windows, or of those that it has `used`
    /// itself.
    pub async fn elsewhere_page(
        &self,
        instance: &str,
        used: bool,
        after: u64,
        current: Current,
        limit: usize,
    ) -> Result<ElsewherePage, StoreError> {
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut query = QueryBuilder::<Sqlite>::new("");
        if used {
            query
                .push("SELECT key_seq FROM node_usage WHERE instance = ")
                .push_bind(instance);
            query.push(" AND key_seq > ").push_bind(after.cast_signed());
        } else {
            for (index, (kind, number)) in current.stored().into_iter().enumerate() {
                query.push(if index > 0 { " UNION " } else { "" });
                query
                    .push("SELECT key_seq FROM (SELECT key_seq FROM window_counts WHERE kind = ")
                    .push_bind(kind);
                query
                    .push(" AND number = ")
                    .push_bind(number)
                    .push(" AND key_seq > ")
                    .push_bind(after.cast_signed());
                query
                    .push(" ORDER BY key_seq LIMIT ")
                    .push_bind(rows)
                    .push(")");
            }
        }
        query.push(" ORDER BY key_seq LIMIT ").push_bind(rows);
        let seqs: Vec<i64> = query
            .build_query_scalar()
            .fetch_all(&self.0.readers)
            .await?;
        let keys: Vec<_> = seqs.iter().map(|seq| seq.cast_unsigned()).collect();
        let next = keys.last().copied().filter(|_| keys.len() == limit);
        let counts = self.counts(&keys, &[instance], current).await?;
        let own = |counts: &KeyCounts| {
            counts
                .processes
                .first()
                .map(|(_, own)| *own)
                .unwrap_or_default()
        };
        let keys = counts
            .iter()
            .filter_map(|counts| counts.elsewhere(&own(counts), current))
            .collect();
        Ok(ElsewherePage { keys, next })
    }
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    slot: u32,
    /// JSON: a list of kind, number, count.
    sums: String,
    /// JSON: a list of position, windows.
    processes: String,
}

impl TryFrom<Row> for KeyCounts {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let stored: Vec<(i32, u32, u64)> = from_json(&row.sums, "a window's count")?;
        let newest: BTreeMap<_, _> = stored
            .into_iter()
            .map(|(kind, number, sum)| ((kind, number), sum))
            .collect();
        let sums = Window::ALL.map(|window| {
            let of_kind = newest.range((kind(window), 0)..=(kind(window), u32::MAX));
            of_kind.map(|(&(_, number), &sum)| (number, sum)).collect()
        });
        let stored: Vec<(usize, StoredWindows)> = from_json(&row.processes, WINDOWS)?;
        let processes = stored
            .into_iter()
            .map(|(position, stored)| (position, windows(stored)))
            .collect();
        Ok(Self {
            key: row.seq.cast_unsigned(),
            slot: row.slot,
            sums,
            processes,
        })
    }
}

const WINDOWS: &str = "a process' count";

/// As `node_usage` has them: number and count.
type StoredWindows = Vec<Option<(u32, u32)>>;

fn windows(stored: StoredWindows) -> Windows {
    padded(stored).map(|window| window.map(|(number, count)| Count { number, count }))
}

/// From the column `windows`.
pub(super) fn windows_from_json(column: &str) -> Result<Windows, StoreError> {
    from_json(column, WINDOWS).map(windows)
}

/// For the column `windows`.
pub(super) fn windows_to_json(windows: &Windows) -> Result<String, StoreError> {
    to_json(&windows.map(|window| window.map(|Count { number, count }| (number, count))))
}

#[cfg(test)]
mod tests;
