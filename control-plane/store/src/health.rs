//! Whether the database can be written: the control plane notes each second that it runs, and what
//! became of that answers probes from outside, which so cost nothing.

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnection;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{self, Instant};
use tracing::{error, info};

use super::error::damage_reports;
use super::{Store, StoreError};

/// How soon damage that was reported is looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Between two checks of a damaged database, each of which reads all of it.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How long the last note may be ago, if the database did nothing since: one that hangs reports no
/// error.
const NOTED_WITHIN: Duration = Duration::from_secs(7);

/// Instructions of SQLite after which a statement that writes counts as making progress.
const INSTRUCTIONS: i32 = 1_000;

/// What the last write, and the last check of the database, have shown.
#[derive(Default)]
pub(super) struct Health {
    state: Mutex<State>,
    /// When a statement that writes made progress last.
    progress: Arc<Mutex<Option<Instant>>>,
}

#[derive(Default)]
struct State {
    /// Why the last write failed, if it did.
    failure: Option<String>,
    /// The reports of damage, from anywhere, before the last check that passed.
    checked: u64,
    /// What the last check found.
    damage: Option<String>,
    last_check: Option<Instant>,
    /// When it was noted last that the control plane runs. `None` before it runs.
    noted: Option<Instant>,
}

impl Health {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // Nobody panics while holding it.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has a connection that writes tell when its statements make progress.
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

    /// Where the progress is to be recorded.
    pub(super) fn progress(&self) -> Arc<Mutex<Option<Instant>>> {
        self.progress.clone()
    }

    /// Records that the control plane was noted to run.
    pub(super) fn noted(&self) {
        self.record(None);
        self.change(|state| state.noted = Some(Instant::now()));
    }

    /// Returns whether neither a note nor a statement that writes has got anywhere for too long.
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

    /// Records how a write ended. One that waited in vain for another one to end says nothing of
    /// the database.
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
    /// Begins to check the database whenever damage is reported, until `stop`.
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

    /// On a connection of its own, which has no pages in memory.
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
        store.begin_life(0, 0, |_| 0).await.unwrap();
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
        // The connection is taken, and nothing happens on it.
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
    async fn database_with_a_long_write_stays_ready() {
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
