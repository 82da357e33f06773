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
pub(crate) struct RetentionTimes {
    /// The time for details of revoked keys.
    pub(crate) revoked_keys: i64,
    /// The time for hourly counts of requests.
    pub(crate) usage: i64,
}

/// Starts the cleanup task, which runs until `stop`.
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, times: RetentionTimes, stop: Stop) {
    stop.spawn(run(store, clock, times));
}

/// Sweeps expired keys every minute, because they count towards their accounts' limits. Deletes
/// hourly: windows, because many are short; processes, because there can be many; secrets, because
/// nodes still have them. Everything else is deleted daily.
async fn run(store: Store, clock: Arc<dyn Clock>, times: RetentionTimes) {
    for minute in (0..24 * 60).cycle() {
        log_error(store.sweep_expired_keys(clock.now()).await);
        if minute % 60 == 0 {
            log_error(store.clean_up_windows(clock.now()).await);
            log_error(store.clean_up_processes().await);
            // Before secrets, so that no secret is deleted while nodes are being sent its removal.
            log_error(
                store
                    .clean_up_revoked(clock.now(), times.revoked_keys)
                    .await,
            );
            log_error(store.clean_up_secrets(clock.now()).await);
            log_error(store.clean_up_repeatable_calls(clock.now()).await);
        }
        if minute == 0 {
            log_error(store.clean_up_history(clock.now(), times.usage).await);
        }
        time::sleep(MINUTE).await;
    }
}

/// Logs the error of a failed step, which is repeated at its next time.
fn log_error(deleted: Result<(), StoreError>) {
    if let Err(error) = deleted {
        error!(%error, "cannot delete old usage");
    }
}
