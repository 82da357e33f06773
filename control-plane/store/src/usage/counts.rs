//! The requests that were admitted with keys in the windows of the calendar, and the part of them
//! that an Envoy process must know.
//!
//! `window_counts` has the sums over all processes, `node_usage` the counts that each of them
//! reported. So the counts of the other processes are the sum less the process' own, and the cost
//! does not depend on how many other processes there are and ever were.

use latchkey_policy::limit::Window;
use sqlx::{FromRow, QueryBuilder, Sqlite};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Windows, kind, padded};
use crate::json::{from_json, to_json};
use crate::{Store, StoreError};

/// The number of seconds by which clocks may be behind. A window that such a clock is in counts as
/// current. Nodes begin a window that they receive if it is no further ahead of their own clock.
const SKEW: i64 = 60;

/// The number of seconds by which clocks may be ahead. Requests that a node with such a clock
/// admits are deducted from the others' next windows. Counts that are further ahead are held back.
const AHEAD: i64 = 300;

/// Requests that were admitted in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The number of the window among those of its kind.
    pub number: u32,
    /// The number of requests.
    pub count: u32,
}

impl Count {
    /// Returns how many more requests these are than the ones the same process reported `before`: a
    /// newer window replaces the older one, and within a window counts only grow.
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
    /// Returns the windows at `now`, in Unix seconds.
    pub fn at(now: i64) -> Self {
        Self { now }
    }

    fn numbers(self, window: Window) -> RangeInclusive<u32> {
        window.number(self.now.saturating_sub(SKEW))..=window.number(self.now.saturating_add(AHEAD))
    }

    /// Returns whether a window begins too far in the future.
    pub(super) fn is_ahead(self, window: Window, number: u32) -> bool {
        number > window.number(self.now.saturating_add(AHEAD))
    }

    /// Returns whether nodes whose clocks agree with ours can be in the window.
    fn is_near(self, window: Window, number: u32) -> bool {
        number <= window.number(self.now.saturating_add(SKEW))
    }

    /// Returns whether the window with this number is among them.
    pub fn contains(self, window: Window, number: u32) -> bool {
        self.numbers(window).contains(&number)
    }

    /// Returns whether one of `windows` is among them.
    pub fn has_any(self, windows: &Windows) -> bool {
        let mut windows = Window::ALL.into_iter().zip(windows);
        windows
            .any(|(window, count)| count.is_some_and(|count| self.contains(window, count.number)))
    }

    /// Returns the kinds and numbers in the form in which they are stored.
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

/// The use of a key by other Envoy processes, as one process must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteUsage {
    /// The key's number.
    pub key: u64,
    /// The slot in which nodes count it.
    pub slot: u32,
    /// The sums over the other processes. `None` for a window without any.
    pub windows: Windows,
}

/// The admitted requests of a live key in the current windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCounts {
    /// The key's number.
    pub key: u64,
    /// The slot in which nodes count it.
    pub slot: u32,
    /// The sums over all processes, by the number of each kind's windows, the oldest first.
    sums: [Vec<(u32, u64)>; Window::ALL.len()],
    /// The counts that some of the requested processes reported for their newest windows, by the
    /// process' index in the request.
    pub processes: Vec<(usize, Windows)>,
}

impl KeyCounts {
    /// Returns what a process must know that reported `own`. For each kind this is the newest
    /// window that has been used and that our clock is in or near to, or the process' own window if
    /// its clock is further ahead. Returns `None` if others have used no such window.
    pub fn remote_usage(&self, own: &Windows, current: Current) -> Option<RemoteUsage> {
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
            .then_some(RemoteUsage { key, slot, windows })
    }
}

/// A page of the keys that were used, in the order of their numbers.
#[derive(Debug)]
pub struct RemoteUsagePage {
    /// The keys.
    pub keys: Vec<RemoteUsage>,
    /// The number of the key after which the next page begins. `None` after the last one.
    pub next: Option<u64>,
}

impl Store {
    /// Returns the requests that were admitted in the `current` windows with those of `keys` that
    /// are live, and the counts that `instances` reported, as far as they have used the key.
    pub async fn counts(
        &self,
        keys: &[u64],
        instances: &[&str],
        current: Current,
    ) -> Result<Vec<KeyCounts>, StoreError> {
        // Each of these is a look-up by a complete primary key. Texts are joined in their stored
        // form, which is JSON.
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
        let rows: Vec<KeyCountsRow> = query.fetch_all(&self.0.readers).await?;
        rows.into_iter().map(KeyCounts::try_from).collect()
    }

    /// Returns what `instance` must know about the other processes, for at most `limit` keys after
    /// the number `after`: for all keys that were used in the `current` windows, or for those that
    /// it has `used` itself.
    pub async fn remote_usage_page(
        &self,
        instance: &str,
        used: bool,
        after: u64,
        current: Current,
        limit: usize,
    ) -> Result<RemoteUsagePage, StoreError> {
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
            .filter_map(|counts| counts.remote_usage(&own(counts), current))
            .collect();
        Ok(RemoteUsagePage { keys, next })
    }
}

#[derive(FromRow)]
struct KeyCountsRow {
    seq: i64,
    slot: u32,
    /// A JSON list of kind, number and count.
    sums: String,
    /// A JSON list of position and windows.
    processes: String,
}

impl TryFrom<KeyCountsRow> for KeyCounts {
    type Error = StoreError;

    fn try_from(row: KeyCountsRow) -> Result<Self, StoreError> {
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

/// The windows in the form of `node_usage`: number and count.
type StoredWindows = Vec<Option<(u32, u32)>>;

fn windows(stored: StoredWindows) -> Windows {
    padded(stored).map(|window| window.map(|(number, count)| Count { number, count }))
}

/// Parses the column `windows`.
pub(super) fn windows_from_json(column: &str) -> Result<Windows, StoreError> {
    from_json(column, WINDOWS).map(windows)
}

/// Encodes the column `windows`.
pub(super) fn windows_to_json(windows: &Windows) -> Result<String, StoreError> {
    to_json(&windows.map(|window| window.map(|Count { number, count }| (number, count))))
}

#[cfg(test)]
mod tests;
