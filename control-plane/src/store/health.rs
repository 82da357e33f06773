//! Whether the database can be written: the control plane notes each second that it runs, and what became of that
//! answers probes from outside, which so cost nothing.

use sqlx::ConnectOptions as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{self, Instant};
use tracing::{error, info};

use super::error::damage_reports;
use super::{Store, StoreError};
use crate::stop::Stop;

/// How soon damage that was reported is looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Between two checks of a damaged database, each of which reads all of it.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// What the last write, and the last check of the database, have shown.
#[derive(Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    /// Why the last write failed, if it did.
    failure: Option<String>,
    /// The reports of damage, from anywhere, before the last check that passed.
    checked: u64,
    /// What the last check found.
    damage: Option<String>,
    last_check: Option<Instant>,
}

impl Health {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // Nobody panics while holding it.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records how a write ended.
    pub(super) fn record(&self, failure: Option<&StoreError>) {
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
    pub(crate) fn start_checks(&self, mut stop: Stop) {
        // Damage that was reported before concerns another database of this process, if any.
        self.0.health.change(|state| state.checked = damage_reports());
        let store = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = store.check_damage() => {}
                    () = stop.requested() => return,
                }
                tokio::select! {
                    () = time::sleep(INTERVAL) => {}
                    () = stop.requested() => return,
                }
            }
        });
    }

    /// Returns whether the last write succeeded and nothing is known that makes the next one fail.
    ///
    /// # Errors
    /// The reason, for operators.
    pub(crate) fn check_writable(&self) -> Result<(), String> {
        self.0.file.check().map_err(|error| error.to_string())?;
        self.0.health.change(|state| match (&state.failure, &state.damage) {
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
            let waited = state.last_check.is_none_or(|last| last.elapsed() >= CHECK_INTERVAL);
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
            let mut connection = self.0.readers.connect_options().as_ref().clone().connect().await?;
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await
        }
        .await;
        match told {
            Ok(told) if told == "ok" => Ok(()),
            Ok(told) => Err(format!("the database is damaged: {told}")),
            Err(error) => Err(format!("the database cannot be checked: {error}")),
        }
    }
}
