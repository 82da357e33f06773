//! Periodically deletes old usage and the details of revoked keys, and removes expired keys and old
//! secrets from the snapshot.

use latchkey_model::clock::Clock;
use latchkey_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::error;

use crate::stop::Stop;

const MINUTE: Duration = Duration::from_secs(60);

/// The retention times, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// The time for details of revoked keys.
    pub(crate) revoked_keys: i64,
    /// The time for hourly counts of requests.
    pub(crate) usage: i64,
}

/// Starts the cleanup task, which runs until `stop`.
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, ages: Ages, mut stop: Stop) {
    tokio::spawn(async move {
        tokio::select! {
            () = tidy(store, clock, ages) => {}
            () = stop.requested() => {}
        }
    });
}

/// Sweeps expired keys every minute, because they count towards their accounts' limits. Deletes
/// hourly: windows, because many are short; processes, because there can be many; secrets, because
/// nodes still have them. Everything else is deleted daily.
async fn tidy(store: Store, clock: Arc<dyn Clock>, ages: Ages) {
    for minute in (0..24 * 60).cycle() {
        told(store.sweep_expired_keys(clock.now()).await);
        if minute % 60 == 0 {
            told(store.tidy_windows(clock.now()).await);
            told(store.tidy_processes().await);
            // Before secrets, so that no secret is deleted while nodes are being sent its removal.
            told(store.tidy_revoked(clock.now(), ages.revoked_keys).await);
            told(store.tidy_secrets(clock.now()).await);
            told(store.tidy_repeatable_calls(clock.now()).await);
        }
        if minute == 0 {
            told(store.tidy_history(clock.now(), ages.usage).await);
        }
        time::sleep(MINUTE).await;
    }
}

fn told(tidied: Result<(), StoreError>) {
    if let Err(error) = tidied {
        error!(%error, "cannot delete old usage");
    }
}
