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
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, stop: Stop) {
    stop.spawn(run(store, clock));
}

async fn run(store: Store, clock: Arc<dyn Clock>) {
    for minute in (0..60).cycle() {
        log_error(
            store.announce_expiries(clock.now()).await,
            "cannot send notifications of expiring keys",
        );
        log_error(
            store.clean_up_webhook_secrets(clock.now()).await,
            "cannot delete old secrets of webhooks",
        );
        if minute == 0 {
            log_error(
                store.clean_up_webhooks(clock.now()).await,
                "cannot delete old deliveries",
            );
        }
        time::sleep(MINUTE).await;
    }
}

/// Logs the error of a failed step, which is repeated at its next time.
fn log_error(result: Result<(), StoreError>, message: &str) {
    if let Err(error) = result {
        error!(%error, "{message}");
    }
}
