//! Has old usage and the details of revoked keys deleted, and expired keys and old secrets removed
//! from the snapshot, now and then.

use latchkey_model::clock::Clock;
use latchkey_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::error;

use crate::stop::Stop;

const MINUTE: Duration = Duration::from_secs(60);

/// For how many seconds it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// Details of revoked keys.
    pub(crate) revoked_keys: i64,
    /// Requests by the hour.
    pub(crate) usage: i64,
}

/// Begins with it at once, and goes on until `stop`.
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, ages: Ages, mut stop: Stop) {
    tokio::spawn(async move {
        tokio::select! {
            () = tidy(store, clock, ages) => {}
            () = stop.requested() => {}
        }
    });
}

/// Expired keys every minute, as they count towards what their accounts can hold. Windows every
/// hour, since there are many short ones, processes, since anybody's can be many, and secrets, as
/// nodes still have them; the rest once a day.
async fn tidy(store: Store, clock: Arc<dyn Clock>, ages: Ages) {
    for minute in (0..24 * 60).cycle() {
        told(store.sweep_expired_keys(clock.now()).await);
        if minute % 60 == 0 {
            told(store.tidy_windows(clock.now()).await);
            told(store.tidy_processes().await);
            // Ahead of secrets, so that none is deleted in the moment in which nodes are told of
            // its removal.
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
