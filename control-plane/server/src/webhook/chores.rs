//! Periodic tasks: every minute, announces expiries and deletes ended secrets; every hour, deletes
//! old deliveries.

use latchkey_model::clock::Clock;
use latchkey_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::error;

use crate::stop::Stop;

const MINUTE: Duration = Duration::from_secs(60);

/// Starts the task, which runs until `stop`.
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, mut stop: Stop) {
    tokio::spawn(async move {
        tokio::select! {
            () = work(store, clock) => {}
            () = stop.requested() => {}
        }
    });
}

async fn work(store: Store, clock: Arc<dyn Clock>) {
    for minute in (0..60).cycle() {
        told(
            store.announce_expiries(clock.now()).await,
            "cannot send notifications of expiring keys",
        );
        told(
            store.tidy_webhook_secrets(clock.now()).await,
            "cannot delete old secrets of webhooks",
        );
        if minute == 0 {
            told(
                store.tidy_webhooks(clock.now()).await,
                "cannot delete old deliveries",
            );
        }
        time::sleep(MINUTE).await;
    }
}

fn told(done: Result<(), StoreError>, message: &str) {
    if let Err(error) = done {
        error!(%error, "{message}");
    }
}
