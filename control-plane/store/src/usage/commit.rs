//! Processes reports: calculates the differences between the totals and the last ones. A batch is
//! one transaction, all or nothing.
//!
//! Only the previous totals of the reporting processes are read, so the cost does not depend on the
//! number of other processes.

use latchkey_policy::limit::Window;
use latchkey_policy::meter::Outcome;
use latchkey_policy::verdict::Code;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;

use super::counts::{Current, windows_from_json, windows_to_json};
use super::{
    HOUR, KeyReport, LastUse, MAX_REQUESTS, Report, Requests, Taken, Windows, kind, padded, seq,
};
use crate::json::{from_json, to_json};
use crate::revision::run_to_completion;
use crate::webhooks::outbox;
use crate::{Store, StoreError};

/// The maximum number of rows in one statement.
const ROWS: usize = 1_000;

impl Store {
    /// Processes `reports`, in their order. Counts of keys that do not exist, and of windows that
    /// have ended, are ignored; counts of windows that are far ahead are held back.
    pub async fn take_in_usage(
        &self,
        reports: Vec<Arc<Report>>,
        now: i64,
    ) -> Result<Taken, StoreError> {
        let store = self.clone();
        run_to_completion(async move {
            let mut transaction = store.0.begin().await?;
            let mut stored = Stored::read(&mut transaction, &reports).await?;
            let mut new = New::default();
            for report in &reports {
                for key in &report.keys {
                    new.take_in(&mut stored, report, key, now);
                }
            }
            let taken = new.write(&mut transaction, now).await?;
            transaction.commit().await?;
            Ok(taken)
        })
        .await
    }
}

/// A process and a key.
type Pair<'a> = (&'a str, i64);

/// The last counts that a process reported for a key.
#[derive(Clone, Copy, Default)]
struct Said {
    requests: Requests,
    windows: Windows,
}

/// The stored data about the reported keys.
struct Stored<'a> {
    /// The keys that exist.
    keys: BTreeSet<i64>,
    said: HashMap<Pair<'a>, Said>,
}

impl<'a> Stored<'a> {
    async fn read(
        from: &mut SqliteConnection,
        reports: &'a [Arc<Report>],
    ) -> Result<Self, StoreError> {
        const KEYS: &str = "SELECT seq FROM keys WHERE seq IN (SELECT value FROM json_each(?))";
        const SAID: &str = "SELECT key_seq, requests, windows FROM node_usage \
             WHERE instance = ? AND key_seq IN (SELECT value FROM json_each(?))";
        let mut reported = BTreeMap::<_, BTreeSet<_>>::new();
        for report in reports {
            let seqs = report.keys.iter().filter_map(|key| seq(key.key));
            reported
                .entry(report.instance.as_str())
                .or_default()
                .extend(seqs);
        }
        let all: BTreeSet<_> = reported.values().flatten().copied().collect();
        let keys: Vec<i64> = sqlx::query_scalar(KEYS)
            .bind(to_json(&all)?)
            .fetch_all(&mut *from)
            .await?;
        let mut said = HashMap::new();
        for (instance, seqs) in reported {
            let query = sqlx::query_as(SAID).bind(instance).bind(to_json(&seqs)?);
            let rows: Vec<(i64, String, String)> = query.fetch_all(&mut *from).await?;
            for (seq, requests, windows) in rows {
                let requests = padded(from_json(&requests, "a node's usage")?);
                said.insert(
                    (instance, seq),
                    Said {
                        requests,
                        windows: windows_from_json(&windows)?,
                    },
                );
            }
        }
        Ok(Self {
            keys: keys.into_iter().collect(),
            said,
        })
    }
}

/// The changes to write.
#[derive(Default)]
struct New<'a> {
    said: BTreeMap<Pair<'a>, Said>,
    /// The requests to add to the bucket of the hour.
    requests: BTreeMap<(i64, &'static str), u64>,
    /// The requests to add to what all processes have admitted, by kind, number and key.
    counts: BTreeMap<(i32, u32, i64), u64>,
    /// The last uses, by key and secret.
    last_uses: BTreeMap<(i64, u32), LastUse>,
    taken: Taken,
}

impl<'a> New<'a> {
    fn take_in(&mut self, stored: &mut Stored<'a>, from: &'a Report, report: &KeyReport, now: i64) {
        let instance = from.instance.as_str();
        let Some(seq) = seq(report.key).filter(|seq| stored.keys.contains(seq)) else {
            return;
        };
        let said = stored.said.entry((instance, seq)).or_default();
        let added = self.add(
            seq,
            &mut said.requests,
            report.requests,
            begins_anew(instance),
        );
        let used = Current::at(now).has_any(&said.windows);
        let raised = self.raise(seq, &mut said.windows, report.windows, from, now);
        if raised {
            // A process that starts to use a key did not receive the counts of others before.
            self.taken.news.add(report.key, used.then_some(instance));
        }
        if added || raised {
            self.said.insert((instance, seq), *said);
        }
        for used in &report.last_uses {
            // No use is later than the present by our clock.
            let used = LastUse {
                at: used.at.min(now),
                ..*used
            };
            later(&mut self.last_uses, (seq, used.secret), used);
        }
    }

    /// Adds the difference to `before`, and returns whether the total has changed. Totals only
    /// grow, so that streams which share meters count nothing twice. The totals of a process that
    /// `begins_anew` can be lower, when it has lost its counts.
    fn add(
        &mut self,
        seq: i64,
        before: &mut Requests,
        mut total: Requests,
        begins_anew: bool,
    ) -> bool {
        let anew = begins_anew && iter::zip(total, *before).any(|(total, was)| total < was);
        if !anew {
            iter::zip(&mut total, *before).for_each(|(total, was)| *total = was.max(*total));
        }
        if total == *before {
            return false;
        }
        let was = std::mem::replace(before, total);
        let was = if anew { Requests::default() } else { was };
        for (outcome, (total, was)) in iter::zip(Outcome::ALL, iter::zip(total, was)) {
            if total > was {
                let sum = self
                    .requests
                    .entry((seq, Code::from(outcome).as_str()))
                    .or_default();
                *sum = sum.saturating_add(total - was).min(MAX_REQUESTS);
            }
        }
        true
    }

    /// Adds the newly admitted requests, and returns whether there are more in some window than
    /// `before`.
    fn raise(
        &mut self,
        seq: i64,
        before: &mut Windows,
        reported: Windows,
        from: &Report,
        now: i64,
    ) -> bool {
        let (mut raised, current) = (false, Current::at(now));
        for (window, (before, reported)) in iter::zip(Window::ALL, iter::zip(before, reported)) {
            let Some(count) = reported else { continue };
            if from.clock_is_off || current.is_ahead(window, count.number) {
                self.taken.held_back.insert(from.instance.clone());
                continue;
            }
            if !current.contains(window, count.number) {
                continue;
            }
            let more = count.since(*before);
            if more > 0 {
                *before = Some(count);
                *self
                    .counts
                    .entry((kind(window), count.number, seq))
                    .or_default() += u64::from(more);
                raised = true;
            }
        }
        raised
    }

    async fn write(self, to: &mut SqliteConnection, now: i64) -> Result<Taken, StoreError> {
        write_said(to, self.said, now).await?;
        outbox::limits_reached(to, &self.requests, now).await?;
        write_requests(to, self.requests, now).await?;
        write_counts(to, self.counts).await?;
        let used: BTreeSet<_> = self.last_uses.keys().map(|(seq, _)| *seq).collect();
        write_last_uses(to, self.last_uses).await?;
        outbox::old_secrets_used(to, &used, now).await?;
        Ok(self.taken)
    }
}

/// Returns whether totals of a process can be lower than before: this holds for version 0.1, which
/// is identified by its number.
fn begins_anew(instance: &str) -> bool {
    instance.len() == 16
}

/// Keeps the later use.
fn later<K: Ord>(uses: &mut BTreeMap<K, LastUse>, key: K, used: LastUse) {
    let last = uses.entry(key).or_insert(used);
    if used.at > last.at {
        *last = used;
    }
}

async fn write_said(
    to: &mut SqliteConnection,
    said: BTreeMap<Pair<'_>, Said>,
    now: i64,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(said.len());
    for (pair, said) in said {
        rows.push((
            pair,
            to_json(&said.requests)?,
            windows_to_json(&said.windows)?,
        ));
    }
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO node_usage (instance, key_seq, requests, windows, reported_at) ",
        );
        query.push_values(rows, |mut row, ((instance, seq), requests, windows)| {
            row.push_bind(instance)
                .push_bind(seq)
                .push_bind(requests)
                .push_bind(windows)
                .push_bind(now);
        });
        query.push(
            " ON CONFLICT (instance, key_seq) DO UPDATE SET \
             requests = excluded.requests, windows = excluded.windows, reported_at = excluded.reported_at",
        );
        query.build().execute(&mut *to).await?;
    }
    Ok(())
}

async fn write_requests(
    to: &mut SqliteConnection,
    requests: BTreeMap<(i64, &'static str), u64>,
    now: i64,
) -> Result<(), StoreError> {
    let hour = now.div_euclid(HOUR);
    let rows: Vec<_> = requests.into_iter().collect();
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO usage_buckets (key_seq, hour, code, requests) ",
        );
        query.push_values(rows, |mut row, ((seq, code), requests)| {
            row.push_bind(seq)
                .push_bind(hour)
                .push_bind(*code)
                .push_bind(requests.cast_signed());
        });
        query.push(" ON CONFLICT (key_seq, hour, code) DO UPDATE SET requests = MIN(requests + excluded.requests, ");
        query.push_bind(MAX_REQUESTS.cast_signed()).push(")");
        query.build().execute(&mut *to).await?;
    }
    Ok(())
}

async fn write_counts(
    to: &mut SqliteConnection,
    counts: BTreeMap<(i32, u32, i64), u64>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = counts.into_iter().collect();
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO window_counts (kind, number, key_seq, count) ",
        );
        query.push_values(rows, |mut row, ((kind, number, seq), count)| {
            row.push_bind(kind)
                .push_bind(number)
                .push_bind(seq)
                .push_bind(count.cast_signed());
        });
        query.push(
            " ON CONFLICT (kind, number, key_seq) DO UPDATE SET count = count + excluded.count",
        );
        query.build().execute(&mut *to).await?;
    }
    Ok(())
}

/// Writes the latest use of each key, with any of its secrets, and of each secret.
async fn write_last_uses(
    to: &mut SqliteConnection,
    last_uses: BTreeMap<(i64, u32), LastUse>,
) -> Result<(), StoreError> {
    const OF_KEY: [&str; 2] = [
        "UPDATE keys SET last_used_at = used.column3, last_used_ip = used.column4 FROM (",
        ") AS used WHERE seq = used.column1 AND (last_used_at IS NULL OR last_used_at < used.column3)",
    ];
    const OF_CURRENT: [&str; 2] = [
        "UPDATE keys SET secret_used_at = used.column3, secret_used_ip = used.column4 FROM (",
        ") AS used WHERE seq = used.column1 AND secret = used.column2 \
         AND (secret_used_at IS NULL OR secret_used_at < used.column3)",
    ];
    const OF_OLD: [&str; 2] = [
        "UPDATE old_secrets SET last_used_at = used.column3, last_used_ip = used.column4 FROM (",
        ") AS used WHERE key_seq = used.column1 AND secret = used.column2 AND NOT removed \
         AND (last_used_at IS NULL OR last_used_at < used.column3)",
    ];
    let mut of_keys = BTreeMap::new();
    for ((seq, _), used) in &last_uses {
        later(&mut of_keys, *seq, *used);
    }
    let of_secrets: Vec<_> = last_uses
        .into_iter()
        .map(|((seq, _), used)| (seq, used))
        .collect();
    update(to, OF_KEY, &of_keys.into_iter().collect::<Vec<_>>()).await?;
    update(to, OF_CURRENT, &of_secrets).await?;
    update(to, OF_OLD, &of_secrets).await
}

/// Runs a statement with the rows of key, secret, time and address between its two parts.
async fn update(
    to: &mut SqliteConnection,
    [before, behind]: [&str; 2],
    rows: &[(i64, LastUse)],
) -> Result<(), StoreError> {
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(before);
        query.push_values(rows, |mut row, (seq, used)| {
            row.push_bind(seq).push_bind(used.secret).push_bind(used.at);
            row.push_bind(used.from.map(|address| address.to_string()));
        });
        query.push(behind);
        query.build().execute(&mut *to).await?;
    }
    Ok(())
}
