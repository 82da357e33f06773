//! Connections for lists and reports, whose cost grows with the data. They are separate from those
//! that look up credentials, read the feed of changes and answer the readiness probe, so that no
//! list delays these. A read that exceeds its time budget is interrupted.
//!
//! Each connection has a separate page cache: SQLite is compiled without
//! `SQLITE_ENABLE_MEMORY_MANAGEMENT` (`.cargo/config.toml`). With it all connections share one
//! cache, and a connection for which idle ones leave no room reads each page from the file again:
//! the same list took six times as long, depending on the connection.

use prometheus_client::metrics::counter::Counter;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{Sqlite, Transaction};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::StoreError;

/// The number of lists and reports that are read at the same time.
const CONNECTIONS: u32 = 3;

/// The time budget of a read, once it has a connection.
pub(super) const BUDGET: Duration = Duration::from_secs(3);

/// The maximum time for which a read waits for a connection. Callers wait for their turn before
/// that (`api/src/list_reads.rs`), so it is exceeded only with many of them.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The number of SQLite instructions between two checks of the time: some tens of microseconds.
const INSTRUCTIONS: i32 = 1_000;

/// The connections for lists and reports.
pub(super) struct ListReads {
    pool: SqlitePool,
    budget: Duration,
    interrupted: Counter,
}

/// A read on one of the connections. If it is dropped while a statement runs, for example because
/// its client has disconnected, the statement is interrupted.
pub(super) struct Read {
    transaction: Transaction<'static, Sqlite>,
    abandoned: Arc<AtomicBool>,
}

impl Drop for Read {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

impl Deref for Read {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for Read {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

impl ListReads {
    /// Opens connections as `pool` and `options` describe them, with a time budget for each read.
    pub(super) fn new(
        pool: SqlitePoolOptions,
        options: SqliteConnectOptions,
        budget: Duration,
    ) -> Self {
        let pool = pool
            .max_connections(CONNECTIONS)
            .acquire_timeout(TIMEOUT)
            .connect_lazy_with(options);
        Self {
            pool,
            budget,
            interrupted: Counter::default(),
        }
    }

    /// Begins a read: all of its statements see the same state, and have the time budget together.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if no connection is free in time. The read's statements fail
    /// with [`StoreError::ReadTooLong`] once the budget is spent.
    pub(super) async fn begin(&self) -> Result<Read, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let (interrupted, mut counted) = (self.interrupted.clone(), false);
        let began = Instant::now();
        let budget = self.budget;
        let abandoned = Arc::new(AtomicBool::new(false));
        let is_abandoned = abandoned.clone();
        // The next read replaces the handler. Until then it interrupts nothing: a rollback takes
        // far fewer instructions.
        transaction
            .lock_handle()
            .await?
            .set_progress_handler(INSTRUCTIONS, move || {
                if is_abandoned.load(Ordering::Relaxed) {
                    return false;
                }
                let goes_on = began.elapsed() < budget;
                if !goes_on && !counted {
                    counted = true;
                    interrupted.inc();
                }
                goes_on
            });
        Ok(Read {
            transaction,
            abandoned,
        })
    }

    /// Returns the number of connections that are in use.
    pub(super) fn busy(&self) -> u64 {
        super::busy(&self.pool)
    }

    /// Returns the number of reads that exceeded their budget.
    pub(super) fn interrupted(&self) -> Counter {
        self.interrupted.clone()
    }

    /// Waits for the reads that are running, and closes the connections.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewKey, OpenMode, Store};
    use latchkey_model::random;
    use latchkey_policy::key::{Environment, KeyFormat};
    use tokio::time;

    const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n WHERE i < 0";

    fn reads(budget: Duration) -> ListReads {
        ListReads::new(
            SqlitePoolOptions::new(),
            SqliteConnectOptions::new().filename(":memory:"),
            budget,
        )
    }

    async fn scalar(
        query: &'static str,
        connection: &mut SqliteConnection,
    ) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
    }

    /// Checks also that the connection serves later reads.
    #[tokio::test]
    async fn read_over_budget_is_interrupted() {
        let reads = reads(Duration::from_millis(50));
        // There are more rounds than connections, so that each is used again.
        for round in 1..=u64::from(2 * CONNECTIONS) {
            let mut read = reads.begin().await.unwrap();
            let error = scalar(ENDLESS, &mut read).await.unwrap_err();
            assert!(matches!(error, StoreError::ReadTooLong), "{error}");
            // The budget is for the whole read.
            let error = scalar(ENDLESS, &mut read).await.unwrap_err();
            assert!(matches!(error, StoreError::ReadTooLong), "{error}");
            drop(read);
            assert_eq!(reads.interrupted().get(), round);
            let mut read = reads.begin().await.unwrap();
            assert_eq!(scalar("SELECT 7", &mut read).await.unwrap(), 7);
        }
    }

    #[tokio::test]
    async fn abandoned_read_frees_its_connection() {
        let reads = reads(Duration::from_secs(60));
        for _ in 0..2 * CONNECTIONS {
            let mut read = reads.begin().await.unwrap();
            let endless = scalar(ENDLESS, &mut read);
            assert!(
                time::timeout(Duration::from_millis(20), endless)
                    .await
                    .is_err(),
                "it came to an end"
            );
        }
        let read = time::timeout(Duration::from_secs(5), reads.begin())
            .await
            .unwrap();
        assert_eq!(scalar("SELECT 7", &mut read.unwrap()).await.unwrap(), 7);
        assert_eq!(reads.interrupted().get(), 0, "none exceeded its budget");
    }

    #[tokio::test]
    async fn slow_lists_block_no_other_reads() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        store
            .add_admin("admin@localhost", "", false, 0)
            .await
            .unwrap();
        let mut lists = Vec::new();
        for _ in 0..CONNECTIONS {
            lists.push(store.0.lists.begin().await.unwrap());
        }
        assert_eq!(store.list_readers_busy(), u64::from(CONNECTIONS));
        let all_else = async {
            store.ping().await.unwrap();
            let user = store.credentials("admin@localhost").await.unwrap().unwrap();
            let secret = KeyFormat::default()
                .generate(Environment::Live, random::fill)
                .unwrap();
            let key = NewKey::new(
                &user.account_id,
                &user.user_id,
                "ci",
                &secret,
                "basic",
                Environment::Live,
            );
            store.create_keys(&[key], 0).await.unwrap();
        };
        time::timeout(Duration::from_secs(2), all_else)
            .await
            .unwrap();
        assert!(
            time::timeout(Duration::from_millis(50), store.0.lists.begin())
                .await
                .is_err(),
            "none is free"
        );
        drop(lists);
        store.0.lists.begin().await.unwrap();
    }

    #[tokio::test]
    async fn idle_connections_hold_no_page_cache() {
        let reads = reads(BUDGET);
        let mut read = reads.begin().await.unwrap();
        let options: Vec<String> = sqlx::query_scalar("PRAGMA compile_options")
            .fetch_all(&mut *read)
            .await
            .unwrap();
        assert!(
            options
                .iter()
                .any(|option| option.starts_with("THREADSAFE")),
            "{options:?}"
        );
        assert!(
            !options
                .iter()
                .any(|option| option == "ENABLE_MEMORY_MANAGEMENT"),
            "{options:?}"
        );
    }
}
