//! Reads every committed change once, and sends it to all streams.

use latchkey_store::{Head, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time;
use tracing::error;

use super::batches::Batches;
use crate::stop::Stop;

/// The number of changes that a stream may lag before it reads them itself.
const CAPACITY: usize = 16;

const RETRY: Duration = Duration::from_millis(100);

/// The change from a snapshot of any revision in `from..to` to one of `to`.
#[derive(Debug)]
pub(super) struct Delta {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) batches: Batches,
}

/// The source of deltas that streams subscribe to.
#[derive(Clone)]
pub(super) struct Feed(broadcast::Sender<Arc<Delta>>);

/// The health of the feed: true while changes are being sent to nodes.
#[derive(Clone)]
pub struct FeedHealth(Arc<AtomicBool>);

impl FeedHealth {
    /// Returns whether changes are being sent to nodes.
    pub fn is_alive(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, alive: bool) {
        self.0.store(alive, Ordering::Relaxed);
    }
}

impl Feed {
    /// Starts following the store, until `stop`.
    pub(super) fn start(store: Store, mut stop: Stop) -> (Self, FeedHealth) {
        let health = FeedHealth(Arc::new(AtomicBool::new(true)));
        let task_health = health.clone();
        let feed = Self(broadcast::Sender::new(CAPACITY));
        let sender = feed.0.clone();

        // Read before the task starts, so that no commit before its start is missed.
        let mut revisions = store.watch_head();
        let from = revisions.borrow_and_update().revision;
        tokio::spawn(async move {
            tokio::select! {
                () = follow(store, revisions, from, sender, &task_health) => {}
                () = stop.requested() => {}
            }
            task_health.set(false);
        });
        (feed, health)
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Delta>> {
        self.0.subscribe()
    }
}

async fn follow(
    store: Store,
    mut revisions: watch::Receiver<Head>,
    mut from: u64,
    sender: broadcast::Sender<Arc<Delta>>,
    health: &FeedHealth,
) {
    while revisions.changed().await.is_ok() {
        while from < revisions.borrow_and_update().revision {
            match store.changes_since(from).await {
                Ok(changes) => {
                    let to = changes.to;
                    // Without receivers, no node is connected.
                    let _ = sender.send(Arc::new(Delta {
                        from,
                        to,
                        batches: Batches::from_changes(changes),
                    }));
                    from = to;
                    health.set(true);
                }
                // Streams that lag this far load everything again.
                Err(StoreError::Pruned) => from = store.revision(),
                Err(error) => {
                    health.set(false);
                    error!(%error, "cannot read changes; nodes do not receive them");
                    time::sleep(RETRY).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop;
    use latchkey_policy::key::{Environment, KeyFormat};
    use latchkey_store::{NewKey, OpenMode};
    use std::thread;
    use tokio::runtime;

    #[tokio::test]
    async fn commit_after_start_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        store
            .add_admin("admin@localhost", "", false, 0)
            .await
            .unwrap();
        let admin = store.credentials("admin@localhost").await.unwrap().unwrap();
        let secret = KeyFormat::default()
            .generate(Environment::Live, getrandom::fill)
            .unwrap();
        let key = NewKey::new(
            &admin.account_id,
            &admin.user_id,
            "CI",
            &secret,
            "basic",
            Environment::Live,
        );

        let (_stopper, stop) = stop::channel();
        let (feed, _) = Feed::start(store.clone(), stop);
        let mut deltas = feed.subscribe();
        // The commit happens while the feed's task, which runs on this thread, cannot run.
        let other = store.clone();
        let commit = move || {
            runtime::Runtime::new()
                .unwrap()
                .block_on(other.create_keys(&[key], 0))
                .unwrap()
                .revision
        };
        let revision = thread::spawn(commit).join().unwrap();
        let delta = time::timeout(Duration::from_secs(20), deltas.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!((delta.from, delta.to), (revision - 1, revision));
    }
}
