//! Reads every committed change once, and hands it to all streams.

use latchkey_protocol::Batch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time;
use tracing::error;

use super::batches;
use crate::stop::Stop;
use crate::store::Store;

/// Changes that a stream can be behind before it reads them itself.
const CAPACITY: usize = 16;

const RETRY: Duration = Duration::from_millis(100);

/// What turns a snapshot of any revision in `from..to` into one of `to`.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) batches: Vec<Batch>,
}

/// Where streams subscribe.
#[derive(Clone)]
pub(super) struct Feed(broadcast::Sender<Arc<Change>>);

impl Feed {
    /// Begins to follow the store, until `stop`.
    pub(super) fn start(store: Store, mut stop: Stop) -> Self {
        let feed = Self(broadcast::Sender::new(CAPACITY));
        let sender = feed.0.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = follow(store, sender) => {}
                () = stop.requested() => {}
            }
        });
        feed
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.0.subscribe()
    }
}

async fn follow(store: Store, sender: broadcast::Sender<Arc<Change>>) {
    let mut revisions = store.watch_revision();
    let mut from = *revisions.borrow_and_update();
    while revisions.changed().await.is_ok() {
        while from < *revisions.borrow_and_update() {
            match store.changes_since(from).await {
                Ok(changes) => {
                    let to = changes.to;
                    // No receivers is no error: nobody is connected.
                    let _ = sender.send(Arc::new(Change { from, to, batches: batches::of_changes(changes) }));
                    from = to;
                }
                Err(error) => {
                    error!(%error, "changes cannot be read; nodes are not told of them");
                    time::sleep(RETRY).await;
                }
            }
        }
    }
}
