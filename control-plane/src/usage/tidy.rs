//! Has old usage deleted, and expired keys and old secrets removed from the snapshot, now and then.

use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::error;

use crate::clock::Clock;
use crate::stop::Stop;
use crate::store::{Store, StoreError};

const MINUTE: Duration = Duration::from_secs(60);

/// Begins with it at once, and goes on until `stop`.
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, mut stop: Stop) {
    tokio::spawn(async move {
        tokio::select! {
            () = tidy(store, clock) => {}
            () = stop.requested() => {}
        }
    });
}

/// Expired keys every minute, as they count towards what their accounts can hold. Windows every hour, since there are
/// many short ones, processes, since anybody's can be many, and secrets, as nodes still have them; the rest once a day.
async fn tidy(store: Store, clock: Arc<dyn Clock>) {
    for minute in (0..24 * 60).cycle() {
        told(store.sweep_expired_keys(clock.now()).await);
        if minute % 60 == 0 {
            told(store.tidy_windows(clock.now()).await);
            told(store.tidy_processes().await);
            told(store.tidy_secrets(clock.now()).await);
        }
        if minute == 0 {
            told(store.tidy_history(clock.now()).await);
        }
        time::sleep(MINUTE).await;
    }
}

fn told(tidied: Result<(), StoreError>) {
    if let Err(error) = tidied {
        error!(%error, "what is old cannot be deleted");
    }
}
