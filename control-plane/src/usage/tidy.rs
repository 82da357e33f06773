//! Has old usage deleted, and old secrets removed, now and then.

use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::error;

use crate::clock::Clock;
use crate::stop::Stop;
use crate::store::{Store, StoreError};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Begins with it at once, and goes on until `stop`.
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, mut stop: Stop) {
    tokio::spawn(async move {
        tokio::select! {
            () = tidy(store, clock) => {}
            () = stop.requested() => {}
        }
    });
}

/// Windows every hour, since there are many short ones, processes, since anybody's can be many, and secrets, as nodes still have them; the rest once a day.
async fn tidy(store: Store, clock: Arc<dyn Clock>) {
    for hour in (0..24).cycle() {
        told(store.tidy_windows(clock.now()).await);
        told(store.tidy_processes().await);
        told(store.tidy_secrets(clock.now()).await);
        if hour == 0 {
            told(store.tidy_history(clock.now()).await);
        }
        time::sleep(HOUR).await;
    }
}

fn told(tidied: Result<(), StoreError>) {
    if let Err(error) = tidied {
        error!(%error, "what is old cannot be deleted");
    }
}
