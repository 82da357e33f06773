//! Sends processes the counts of other processes for the keys that they use.
//!
//! New counts are gathered here by key until they are sent, so commits do not wait for the sending.
//! If several reports arrive in the meantime, one message contains their sum.

use latchkey_model::clock::Clock;
use latchkey_store::usage::{Current, News};
use latchkey_store::{Store, StoreError};
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::{task, time};
use tracing::error;

use crate::nodes::registry::Registry;
use crate::stop::Stop;

/// The maximum number of keys that are sent at a time. Every connected process may have used each
/// of them.
const KEYS: usize = 250;

/// The pause after the store did not respond.
const RETRY: Duration = Duration::from_secs(1);

/// Receives new counts. Their number never exceeds the number of keys.
pub(super) struct CountBroadcaster(watch::Sender<News>);

impl CountBroadcaster {
    /// Starts sending new counts, until `stop`.
    pub(super) fn start(
        store: Store,
        registry: Registry,
        clock: Arc<dyn Clock>,
        stop: Stop,
    ) -> Self {
        let news = watch::Sender::default();
        let task = BroadcastTask {
            news: news.clone(),
            store,
            registry,
            clock,
        };
        stop.spawn(task.run());
        Self(news)
    }

    /// Adds new counts to those that wait to be sent.
    pub(super) fn send(&self, news: News) {
        self.0.send_modify(|waiting| waiting.append(news));
    }
}

/// The task that sends new counts.
struct BroadcastTask {
    news: watch::Sender<News>,
    store: Store,
    registry: Registry,
    clock: Arc<dyn Clock>,
}

impl BroadcastTask {
    /// Sends new counts as they arrive, round by round.
    async fn run(self) {
        let mut filled = self.news.subscribe();

        // `self` holds the sender, so the channel cannot be closed.
        while filled.wait_for(|news| !news.is_empty()).await.is_ok() {
            // The whole round is sent before newer counts, so that every key has its turn.
            let mut round = News::default();
            self.news.send_modify(|waiting| round = mem::take(waiting));

            while !round.is_empty() {
                let news = round.take(KEYS);
                match self.deliver(&news).await {
                    Ok(()) => {}
                    Err(error @ StoreError::Unavailable(_)) => {
                        error!(%error, "cannot send other nodes' counts to nodes yet");
                        round.append(news);
                        time::sleep(RETRY).await;
                    }
                    Err(error) => {
                        error!(%error, "cannot send other nodes' counts to nodes");
                    }
                }
                task::yield_now().await;
            }
        }
    }

    /// Puts the counts into the mailbox of every process that uses one of the keys and has a
    /// stream.
    async fn deliver(&self, news: &News) -> Result<(), StoreError> {
        let current = Current::at(self.clock.now());
        let mailboxes = self.registry.mailboxes();
        let instances: Vec<_> = mailboxes
            .iter()
            .map(|(instance, _)| instance.as_str())
            .collect();

        let mut deliveries = vec![Vec::new(); instances.len()];
        for counts in self.store.counts(&news.keys(), &instances, current).await? {
            for (position, own) in &counts.processes {
                let Some((instance, delivery)) =
                    instances.get(*position).zip(deliveries.get_mut(*position))
                else {
                    continue;
                };
                if news.is_for(counts.key, instance) && current.has_any(own) {
                    delivery.extend(counts.remote_usage(own, current));
                }
            }
        }

        mailboxes
            .iter()
            .zip(deliveries)
            .filter(|(_, usage)| !usage.is_empty())
            .for_each(|((_, mailbox), usage)| mailbox.add_remote_usage(usage));
        Ok(())
    }
}
