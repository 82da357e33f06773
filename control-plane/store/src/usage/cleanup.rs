//! Deletes data that is no longer needed, in steps that do not delay other writers for long.
//!
//! **A wrong clock must not delete data that still counts.** So nothing is deleted unless the clock
//! is trusted ([`clock::trusts`]). There are two ways. A request was admitted today: such a count is
//! accepted only if the clock of the reporting node agrees with this one, so this one is wrong by
//! less than a day. Or the clock ran for a day without being set, as the notes of control planes
//! show (`uptime.rs`): so a control plane without any requests also deletes old data. A host that
//! starts with a clock that is days ahead meets neither condition until its clock is corrected.
//!
//! **So all deleted data ended at least a day ago**, except for counts of windows: those are
//! checked separately for each kind.

use latchkey_policy::limit::Window;
use sqlx::query::Query;
use sqlx::{Database, Sqlite, SqliteConnection};

use super::{DAY, HOUR};
use crate::clock::{self, kind};
use crate::json::to_json;
use crate::{Store, StoreError, uptime};

/// The number of seconds without a report after which an Envoy process counts as gone, unless it is
/// connected. If it returned later, all of its totals would be counted again.
const INSTANCE_KEPT: i64 = 45 * DAY;

/// The maximum number of totals of processes that are gone. A client that may connect can appear as
/// a new process any number of times, and each can report all keys.
const GONE_ROWS: i64 = 10_000_000;

/// The number of rows that are deleted at a time.
const STEP: u32 = 5_000;

/// Deletes totals of a process.
const INSTANCE: &str = "DELETE FROM node_usage WHERE instance = ?1 AND key_seq IN \
     (SELECT key_seq FROM node_usage WHERE instance = ?1 LIMIT ?2)";

type Delete<'q> = Query<'q, Sqlite, <Sqlite as Database>::Arguments>;

impl Store {
    /// Deletes counts of windows before the previous one.
    pub async fn clean_up_windows(&self, now: i64) -> Result<(), StoreError> {
        const PAST: &str = "WITH past (kind, last) AS MATERIALIZED (SELECT value->>0, value->>1 FROM json_each(?1)) \
             DELETE FROM window_counts WHERE (kind, number, key_seq) IN (SELECT w.kind, w.number, w.key_seq \
             FROM past p CROSS JOIN window_counts w ON w.kind = p.kind AND w.number < p.last LIMIT ?2)";
        let steady = uptime::is_steady(&self.0.readers, clock::STEADY, now).await?;
        let mut past = Vec::new();
        for window in Window::ALL {
            let last = window.number(now).saturating_sub(1);
            // A count of the previous window or of a later one exists: those before it are past,
            // however far ahead the clock is.
            if steady || clock::counts_since(&self.0.readers, window, last).await? {
                past.push((kind(window), last));
            }
        }
        let last = to_json(&past)?;
        self.delete(|| sqlx::query(PAST).bind(&last)).await
    }

    /// Deletes totals of processes that are gone, beyond a maximum. Those that have not reported
    /// for the longest time are deleted first. Their counts stay in the sums.
    pub async fn clean_up_processes(&self) -> Result<(), StoreError> {
        self.keep_processes(GONE_ROWS).await
    }

    /// Deletes them beyond `rows`. The clock is irrelevant: only the order of reports counts.
    async fn keep_processes(&self, rows: i64) -> Result<(), StoreError> {
        const BEYOND: &str = "SELECT instance FROM (SELECT instance, SUM(keys) OVER (ORDER BY reported_at DESC, instance) \
             AS rows FROM (SELECT instance, COUNT(*) AS keys, MAX(reported_at) AS reported_at FROM node_usage \
             WHERE instance NOT IN (SELECT meter FROM nodes) GROUP BY instance)) WHERE rows > ?";
        let beyond: Vec<String> = sqlx::query_scalar(BEYOND)
            .bind(rows)
            .fetch_all(&self.0.readers)
            .await?;
        for instance in beyond {
            self.delete(|| sqlx::query(INSTANCE).bind(&instance))
                .await?;
        }
        Ok(())
    }

    /// Deletes totals of processes that are gone, and requests by the hour that are older than
    /// `kept` seconds.
    pub async fn clean_up_history(&self, now: i64, kept: i64) -> Result<(), StoreError> {
        const GONE: &str = "SELECT instance FROM node_usage WHERE instance NOT IN (SELECT meter FROM nodes) \
             GROUP BY instance HAVING MAX(reported_at) < ?";
        const BUCKETS: &str = "DELETE FROM usage_buckets WHERE (key_seq, hour, code) IN \
             (SELECT key_seq, hour, code FROM usage_buckets WHERE hour < ? LIMIT ?)";
        const SUMS: &str = "DELETE FROM usage_sums WHERE (account_id, hour, code) IN \
             (SELECT account_id, hour, code FROM usage_sums WHERE hour < ? LIMIT ?)";
        // A day is deleted with the last of its hours.
        const DAYS: &str = "DELETE FROM usage_days WHERE (account_id, day, code, key_seq) IN \
             (SELECT account_id, day, code, key_seq FROM usage_days WHERE day < ? / 24 LIMIT ?)";
        if !clock::trusts(&self.0.readers, now).await? {
            return Ok(());
        }
        let before = now.saturating_sub(INSTANCE_KEPT);
        let gone: Vec<String> = sqlx::query_scalar(GONE)
            .bind(before)
            .fetch_all(&self.0.readers)
            .await?;
        for instance in gone {
            self.delete(|| sqlx::query(INSTANCE).bind(&instance))
                .await?;
        }
        let hour = now.saturating_sub(kept).div_euclid(HOUR);
        self.delete(|| sqlx::query(BUCKETS).bind(hour)).await?;
        self.delete(|| sqlx::query(SUMS).bind(hour)).await?;
        self.delete(|| sqlx::query(DAYS).bind(hour)).await
    }

    /// Repeats a statement, whose last parameter is the maximum number of rows, until it affects
    /// none.
    pub(crate) async fn delete<'q>(
        &self,
        statement: impl Fn() -> Delete<'q>,
    ) -> Result<(), StoreError> {
        while statement()
            .bind(STEP)
            .execute(self.0.writer()?)
            .await?
            .rows_affected()
            >= STEP.into()
        {}
        Ok(())
    }
}

/// Deletes the counts that processes have reported for the key with the number `seq`, because they
/// count it from zero from now on. Their counts stay in the sums.
pub(crate) async fn forget(from: &mut SqliteConnection, seq: i64) -> Result<(), StoreError> {
    // One look-up leads to the next process, and the primary key to its row.
    const FORGET: &str = "WITH RECURSIVE processes (instance) AS (SELECT MIN(instance) FROM node_usage UNION ALL \
         SELECT (SELECT MIN(u.instance) FROM node_usage u WHERE u.instance > processes.instance) FROM processes \
         WHERE processes.instance IS NOT NULL) \
         DELETE FROM node_usage WHERE key_seq = ? \
         AND instance IN (SELECT instance FROM processes WHERE instance IS NOT NULL)";
    sqlx::query(FORGET).bind(seq).execute(from).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;

    #[tokio::test]
    async fn totals_of_gone_processes_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        let writer = &store.0.writer;
        // The rows refer to others that do not exist here.
        sqlx::query("PRAGMA foreign_keys = OFF")
            .execute(writer)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO nodes (node_id, secret_hash, meter, version, protocol, staleness) \
             VALUES ('edge', 'hash', 'of-a-node', '0.2.0', 1, 0)",
        )
        .execute(writer)
        .await
        .unwrap();
        for (instance, reported_at) in
            [("of-a-node", 1), ("oldest", 2), ("older", 3), ("newest", 4)]
        {
            for key in 0..10 {
                let query = "INSERT INTO node_usage (instance, key_seq, requests, windows, reported_at) \
                     VALUES (?, ?, '[]', '[]', ?)";
                sqlx::query(query)
                    .bind(instance)
                    .bind(key)
                    .bind(reported_at)
                    .execute(writer)
                    .await
                    .unwrap();
            }
        }
        for (rows, left) in [
            (30, &["newest", "of-a-node", "older", "oldest"][..]),
            (29, &["newest", "of-a-node", "older"]),
            (19, &["newest", "of-a-node"]),
            (0, &["of-a-node"]),
        ] {
            store.keep_processes(rows).await.unwrap();
            let query = "SELECT DISTINCT instance FROM node_usage ORDER BY instance";
            let instances: Vec<String> = sqlx::query_scalar(query).fetch_all(writer).await.unwrap();
            assert_eq!(instances, left);
        }
    }
}
