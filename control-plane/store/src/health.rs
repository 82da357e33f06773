//! Whether the database can be written. The control plane writes a note each second that it runs,
//! and the result of that answers health probes, which so cost nothing.

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnection;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{self, Instant};
use tracing::{error, info};

use super::error::damage_reports;
use super::{Store, StoreError};

/// The interval at which new reports of damage are looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// The interval between two checks of a damaged database, each of which reads all of it.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The maximum age of the last note if the database did nothing since: a database that hangs
/// reports no error.
const NOTED_WITHIN: Duration = Duration::from_secs(7);

/// The number of SQLite instructions after which a statement that writes counts as making progress.
const INSTRUCTIONS: i32 = 1_000;

/// The results of the last write and the last check of the database.
#[derive(Default)]
pub(super) struct Health {
    state: Mutex<State>,
    /// The last time at which a statement that writes made progress.
    progress: Arc<Mutex<Option<Instant>>>,
}

#[derive(Default)]
struct State {
    /// The error of the last write, if it failed.
    failure: Option<String>,
    /// The reports of damage in this process before the last check that passed.
    checked: u64,
    /// The damage that the last check found.
    damage: Option<String>,
    last_check: Option<Instant>,
    /// The time of the last note that the control plane runs. `None` before it runs.
    noted: Option<Instant>,
}

impl Health {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // No holder of the lock panics.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Registers a handler on a connection that writes, which records when its statements make
    /// progress.
    pub(super) async fn observe(
        progress: Arc<Mutex<Option<Instant>>>,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        connection
            .lock_handle()
            .await?
            .set_progress_handler(INSTRUCTIONS, move || {
                *progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                true
            });
        Ok(())
    }

    /// Returns the place where progress is recorded.
    pub(super) fn progress(&self) -> Arc<Mutex<Option<Instant>>> {
        self.progress.clone()
    }

    /// Records that the note was written.
    pub(super) fn noted(&self) {
        self.record(None);
        self.change(|state| state.noted = Some(Instant::now()));
    }

    /// Returns whether for too long neither a note was written nor a statement that writes made
    /// progress.
    fn hangs(&self) -> bool {
        let Some(noted) = self.change(|state| state.noted) else {
            return false;
        };
        let progress = *self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress
            .map_or(noted, |progress| progress.max(noted))
            .elapsed()
            > NOTED_WITHIN
    }

    /// Records the result of a write. A write that timed out waiting for another one is no evidence
    /// about the database.
    pub(super) fn record(&self, failure: Option<&StoreError>) {
        if let Some(StoreError::Unavailable(sqlx::Error::PoolTimedOut)) = failure {
            return;
        }
        let failure = failure.map(ToString::to_string);
        self.change(|state| {
            match (&state.failure, &failure) {
                (None, Some(reason)) => error!(reason, "the database cannot be written"),
                (Some(_), None) => info!("the database can be written again"),
                _ => {}
            }
            state.failure = failure;
        });
    }
}

impl Store {
    /// Starts to check the database whenever damage is reported, until `stop`.
    pub fn start_checks(&self, stop: impl Future<Output = ()> + Send + 'static) {
        // Damage that was reported before concerns another database of this process, if any.
        self.0
            .health
            .change(|state| state.checked = damage_reports());
        let store = self.clone();
        tokio::spawn(async move {
            let mut stop = pin!(stop);
            loop {
                tokio::select! {
                    () = store.check_damage() => {}
                    () = &mut stop => return,
                }
                tokio::select! {
                    () = time::sleep(INTERVAL) => {}
                    () = &mut stop => return,
                }
            }
        });
    }

    /// Returns whether the last write succeeded and nothing is known that makes the next one fail.
    /// A long transaction that makes progress keeps others from writing, and is no failure of the
    /// database.
    ///
    /// # Errors
    /// The reason, for operators.
    pub fn check_writable(&self) -> Result<(), String> {
        self.0.file.check().map_err(|error| error.to_string())?;
        if self.0.health.hangs() {
            return Err(
                "the database does not answer: nothing could be written for some seconds"
                    .to_owned(),
            );
        }
        self.0
            .health
            .change(|state| match (&state.failure, &state.damage) {
                (Some(reason), _) | (None, Some(reason)) => Err(reason.clone()),
                (None, None) if state.checked != damage_reports() => {
                    Err("the database reported damage and is being checked".to_owned())
                }
                (None, None) => Ok(()),
            })
    }

    /// Checks all of the database after damage was reported, and again until a check passes.
    async fn check_damage(&self) {
        let reports = damage_reports();
        let due = self.0.health.change(|state| {
            let waited = state
                .last_check
                .is_none_or(|last| last.elapsed() >= CHECK_INTERVAL);
            state.checked != reports && (state.damage.is_none() || waited)
        });
        if !due {
            return;
        }
        let found = self.quick_check().await;
        if let Err(reason) = &found {
            error!(reason, "the database is damaged: restore a backup");
        }
        self.0.health.change(|state| {
            state.last_check = Some(Instant::now());
            if found.is_ok() {
                state.checked = reports;
            }
            state.damage = found.err();
        });
    }

    /// Runs SQLite's quick check on a separate connection, which has no pages in memory.
    async fn quick_check(&self) -> Result<(), String> {
        let told: Result<String, sqlx::Error> = async {
            let mut connection = self
                .0
                .readers
                .connect_options()
                .as_ref()
                .clone()
                .connect()
                .await?;
            sqlx::query_scalar("PRAGMA quick_check(1)")
                .fetch_one(&mut connection)
                .await
        }
        .await;
        match told {
            Ok(told) if told == "ok" => Ok(()),
            Ok(told) => Err(format!("the database is damaged: {told}")),
            Err(error) => Err(format!("the database cannot be checked: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Note, OpenMode};

    async fn running() -> (Store, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        store.begin_run(0, 0, |_| 0).await.unwrap();
        store.start_checks(std::future::ready(()));
        (store, directory)
    }

    async fn note(store: &Store) -> Result<(), StoreError> {
        store
            .note(Note {
                now: 0,
                uptime: 0,
                unknown_until: None,
            })
            .await
    }

    #[tokio::test]
    async fn database_that_hangs_is_not_ready() {
        let (store, _directory) = running().await;
        // The connection is taken, and not used.
        let hung = store.0.writer.acquire().await.unwrap();
        assert!(
            note(&store)
                .await
                .unwrap_err()
                .to_string()
                .contains("timed out")
        );
        assert_eq!(
            store.check_writable(),
            Ok(()),
            "that says nothing of the database"
        );
        let began = Instant::now();
        while store.check_writable().is_ok() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "it still counts as ready"
            );
            time::sleep(Duration::from_millis(50)).await;
        }
        assert!(
            store
                .check_writable()
                .unwrap_err()
                .contains("does not answer")
        );
        drop(hung);
        note(&store).await.unwrap();
        assert_eq!(store.check_writable(), Ok(()));
    }

    #[tokio::test]
    async fn long_write_keeps_the_database_ready() {
        const COUNT: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 1000000) \
             SELECT COUNT(*) FROM numbers";
        let (store, _directory) = running().await;
        let mut transaction = store.0.begin().await.unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(9) {
            sqlx::query(COUNT)
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
            assert_eq!(
                store.check_writable(),
                Ok(()),
                "after {:?}",
                began.elapsed()
            );
        }
    }
}
