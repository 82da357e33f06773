//! Tells processes what others have admitted with the keys that they use.
//!
//! What is new is gathered here by key until it has been told, so commits do not wait for it: if
//! there is more than can be told at a time, one message says what several reports brought.

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

/// Keys that are told of at a time. All connected processes can have used each of them.
const KEYS: usize = 250;

/// After the store did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Where news is left; there are never more of them than there are keys.
pub(super) struct Herald(watch::Sender<News>);

impl Herald {
    /// Begins to tell of what comes, until `stop`.
    pub(super) fn start(
        store: Store,
        registry: Registry,
        clock: Arc<dyn Clock>,
        mut stop: Stop,
    ) -> Self {
        let news = watch::Sender::default();
        let work = Work {
            news: news.clone(),
            store,
            registry,
            clock,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = work.run() => {}
                () = stop.requested() => {}
            }
        });
        Self(news)
    }

    pub(super) fn tell(&self, news: News) {
        self.0.send_modify(|waiting| waiting.append(news));
    }
}

struct Work {
    news: watch::Sender<News>,
    store: Store,
    registry: Registry,
    clock: Arc<dyn Clock>,
}

impl Work {
    async fn run(self) {
        let mut filled = self.news.subscribe();
        // Its sender is here, so it cannot be closed.
        while filled.wait_for(|news| !news.is_empty()).await.is_ok() {
            // All of it before what comes next, so that every key has its turn.
            let mut round = News::default();
            self.news.send_modify(|waiting| round = mem::take(waiting));
            while !round.is_empty() {
                let news = round.take(KEYS);
                match self.tell(&news).await {
                    Ok(()) => {}
                    Err(error @ StoreError::Unavailable(_)) => {
                        error!(%error, "cannot send other nodes' counts to nodes yet");
                        round.append(news);
                        time::sleep(RETRY).await;
                    }
                    Err(error) => {
                        error!(%error, "cannot send other nodes' counts to nodes")
                    }
                }
                task::yield_now().await;
            }
        }
    }

    /// Tells every process that uses one of the keys, and has a stream.
    async fn tell(&self, news: &News) -> Result<(), StoreError> {
        let current = Current::at(self.clock.now());
        let mailboxes = self.registry.mailboxes();
        let instances: Vec<_> = mailboxes
            .iter()
            .map(|(instance, _)| instance.as_str())
            .collect();
        let mut told = vec![Vec::new(); instances.len()];
        for counts in self.store.counts(&news.keys(), &instances, current).await? {
            for (position, own) in &counts.processes {
                let Some((instance, told)) = instances.get(*position).zip(told.get_mut(*position))
                else {
                    continue;
                };
                if news.is_for(counts.key, instance) && current.has_any(own) {
                    told.extend(counts.elsewhere(own, current));
                }
            }
        }
        let told = mailboxes
            .iter()
            .zip(told)
            .filter(|(_, told)| !told.is_empty());
        told.for_each(|((_, mailbox), told)| mailbox.tell(told));
        Ok(())
    }
}
