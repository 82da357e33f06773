//! Sends due deliveries. Webhooks take turns: after one delivery, the others come first. Webhooks
//! whose last delivery failed get at most half of the places, so that dead receivers do not delay
//! working ones.

use latchkey_model::clock::Clock;
use latchkey_model::random;
use latchkey_store::{Claim, Settled, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{self, MissedTickBehavior};
use tracing::{debug, error, warn};

use super::client::{AttemptResult, Client};
use super::reach::AllowedDestinations;
use super::retry;
use crate::metrics::Metrics;
use crate::metrics::webhook::AttemptOutcome;
use crate::stop::Stop;

/// The maximum number of concurrent deliveries.
const PLACES: usize = 8;

/// The maximum number of concurrent deliveries to webhooks whose last delivery failed.
const FAILING_PLACES: usize = 4;

/// The interval at which due deliveries are read, in addition to every change. Deliveries also
/// become due by time and through other processes.
const TICK: Duration = Duration::from_millis(500);

/// The dependencies of each attempt.
struct Worker {
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    client: Client,
}

/// Prepares the client. The returned future sends until `stop`, and then ends after the deliveries
/// in progress.
pub(crate) fn start(
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    reach: AllowedDestinations,
    stop: Stop,
) -> reqwest::Result<impl Future<Output = ()>> {
    let client = Client::new(reach)?;
    let worker = Arc::new(Worker {
        store,
        clock,
        metrics,
        client,
    });
    Ok(worker.run(stop))
}

impl Worker {
    /// Sends due deliveries until `stop`, and waits for those in progress.
    async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut attempts = JoinSet::new();
        let failing = Arc::new(Semaphore::new(FAILING_PLACES));
        let mut changes = self.store.watch_head();
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            while attempts.len() < PLACES
                && let Some((claim, place)) = self.claim(&failing).await
            {
                let worker = self.clone();
                attempts.spawn(async move {
                    let _place = place;
                    worker.attempt(claim).await;
                });
            }
            tokio::select! {
                () = stop.requested() => break,
                _ = tick.tick() => {}
                Ok(()) = changes.changed() => {}
                Some(_) = attempts.join_next() => {}
            }
        }

        while attempts.join_next().await.is_some() {}
    }

    /// Returns the next due delivery, if any, with the place that it takes if its webhook is
    /// failing.
    async fn claim(
        &self,
        failing: &Arc<Semaphore>,
    ) -> Option<(Claim, Option<OwnedSemaphorePermit>)> {
        let place = failing.clone().try_acquire_owned().ok();
        match self
            .store
            .claim_delivery(self.clock.now(), place.is_some())
            .await
        {
            Ok(claim) => claim.map(|claim| {
                let place = place.filter(|_| claim.failing);
                (claim, place)
            }),
            Err(error) => {
                error!(%error, "cannot read deliveries from the outbox");
                None
            }
        }
    }

    /// Makes one attempt and stores its outcome. If the outcome cannot be stored, the attempt is
    /// repeated.
    async fn attempt(&self, claim: Claim) {
        let result = self.client.send(&claim, self.clock.now()).await;
        let now = self.clock.now();
        let (settled, outcome) = settle(result, &claim, now);
        self.metrics.webhooks.count(outcome);

        let (webhook, delivery, attempts) =
            (claim.webhook_id.clone(), claim.id.clone(), claim.attempts);
        match &settled {
            Settled::Delivered { .. } => debug!(webhook, delivery, attempts, "delivered"),
            Settled::Retry { error, .. } => {
                debug!(
                    webhook,
                    delivery, attempts, error, "delivery failed; retrying"
                );
            }
            Settled::Failed { error, .. } => warn!(
                webhook,
                delivery, attempts, error, "delivery failed permanently"
            ),
            Settled::Gone { .. } => warn!(
                webhook,
                delivery,
                "a receiver no longer accepts \
            deliveries"
            ),
        }

        if let Err(error) = self.store.settle_delivery(claim, settled, now).await {
            error!(%error, webhook, delivery, "cannot store the outcome of a delivery");
        }
    }
}

/// Returns the outcome of an attempt, for the store and for the metrics.
fn settle(result: AttemptResult, claim: &Claim, now: i64) -> (Settled, AttemptOutcome) {
    match result {
        AttemptResult::Accepted(status) => {
            (Settled::Delivered { status }, AttemptOutcome::DELIVERED)
        }
        AttemptResult::Gone(status) => (Settled::Gone { status }, AttemptOutcome::GONE),
        AttemptResult::Failed { status, error } => {
            match retry::next_attempt(claim.attempts, claim.since, now, jitter()) {
                Some(next_at) => (
                    Settled::Retry {
                        status,
                        error,
                        next_at,
                    },
                    AttemptOutcome::RETRIED,
                ),
                None => (Settled::Failed { status, error }, AttemptOutcome::FAILED),
            }
        }
    }
}

/// Returns a random number, or 0 if there is no randomness.
fn jitter() -> u32 {
    let mut bytes = [0; 4];
    random::fill(&mut bytes).map_or(0, |()| u32::from_le_bytes(bytes))
}
