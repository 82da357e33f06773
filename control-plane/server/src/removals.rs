//! Removes the keys of deleted users and closed accounts, in steps. Other changes are written
//! between the steps.

use latchkey_model::clock::Clock;
use latchkey_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::error;

use crate::stop::Stop;

/// The approximate time for which a step blocks other writers.
const STEP: Duration = Duration::from_millis(25);

/// The number of keys in one step. Below the minimum, a step takes hardly less time, because most
/// of it is the transaction itself.
const MIN_KEYS: u32 = 200;
const MAX_KEYS: u32 = 2_000;
const FIRST_KEYS: u32 = MIN_KEYS;

const RETRY: Duration = Duration::from_secs(1);

/// Starts the removal task, which runs until `stop`.
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, stop: Stop) {
    stop.spawn(run(store, clock));
}

/// Removes keys after each revision, because a removal begins with one.
async fn run(store: Store, clock: Arc<dyn Clock>) {
    let mut revisions = store.watch_head();
    loop {
        revisions.mark_unchanged();
        while let Err(error) = remove(&store, &*clock).await {
            error!(%error, "cannot remove keys of deleted users yet; Envoys refuse them \
            nevertheless");
            time::sleep(RETRY).await;
        }
        if revisions.changed().await.is_err() {
            return;
        }
    }
}

/// Removes all keys of deleted users and closed accounts.
async fn remove(store: &Store, clock: &dyn Clock) -> Result<(), StoreError> {
    let mut limit = FIRST_KEYS;
    while store.has_removals().await? {
        let step = store.continue_removal(limit, clock.now()).await?;
        if !step.more {
            return Ok(());
        }
        limit = next_limit(limit, step.took);
        // Waiting writers have had their turn by now. The pause also lets readers and nodes keep
        // up.
        time::sleep(step.took).await;
    }

    Ok(())
}

/// Returns the maximum number of keys of the next step.
fn next_limit(limit: u32, took: Duration) -> u32 {
    let took = took.as_micros().max(1_000);
    let in_time = u128::from(limit)
        .saturating_mul(STEP.as_micros())
        .checked_div(took);
    let in_time = in_time
        .and_then(|keys| u32::try_from(keys).ok())
        .unwrap_or(MAX_KEYS);
    in_time
        .min(limit.saturating_mul(2))
        .clamp(MIN_KEYS, MAX_KEYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_adapt_to_their_duration() {
        let millis = Duration::from_millis;
        for (limit, took, next) in [
            (1_000, millis(25), 1_000),
            (1_000, millis(50), 500),
            (400, millis(5), 800),
            (400, Duration::ZERO, 800),
            (1_000, millis(10_000), MIN_KEYS),
            (MAX_KEYS, millis(1), MAX_KEYS),
        ] {
            assert_eq!(next_limit(limit, took), next, "{limit} in {took:?}");
        }
    }
}
