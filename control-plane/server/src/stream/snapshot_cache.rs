//! Whole snapshots as batches, read once for all nodes that load one at about the same time. On the
//! stream, a cached snapshot is called an image.
//!
//! A node loads a snapshot in parts of a size that its link can carry. Its progress is kept for a
//! while after its stream is lost, so that the next stream continues there.

use latchkey_model::random;
use latchkey_protocol::Load;
use latchkey_store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::{self, Instant};

use super::batches::{self, Batches};
use crate::nodes::identity::NodeId;
use crate::stop::Stop;

/// The time after which an unused snapshot is dropped, because it takes as much memory as all
/// records. The progress of a node is kept for the same time.
const KEPT: Duration = Duration::from_secs(60);

/// The number of changed keys from which a new snapshot is read.
const MAX_CHANGED: u32 = 10_000;

/// The maximum number of older snapshots that are kept for nodes that load them.
const MAX_OLDER: usize = 1;

/// All live keys as of `revision`, without those that have changed since: the changes since then
/// contain them.
pub(super) struct CachedSnapshot {
    /// The random id that names the snapshot on the stream.
    id: [u8; 16],
    pub(super) revision: u64,
    pub(super) batches: Batches,
    /// True if the snapshot was requested since the last check.
    used: AtomicBool,
}

/// A position in a snapshot: all batches before `batch` are sent, and the first `bytes` bytes of
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cursor {
    pub(super) batch: usize,
    pub(super) bytes: usize,
}

/// The progress of a node through a snapshot.
pub(super) struct Loading {
    pub(super) snapshot: Arc<CachedSnapshot>,
    /// The position after each sent batch.
    sent: Vec<Cursor>,
    left: Instant,
}

impl Loading {
    fn new(snapshot: Arc<CachedSnapshot>) -> Self {
        Self {
            snapshot,
            sent: Vec::new(),
            left: Instant::now(),
        }
    }

    /// Returns the progress for the Welcome message.
    pub(super) fn load(&self) -> Load {
        Load {
            image: self.snapshot.id.to_vec(),
            batches: u64::try_from(self.sent.len()).unwrap_or(u64::MAX),
        }
    }

    /// Returns the position of the next part to send.
    pub(super) fn cursor(&self) -> Cursor {
        self.sent.last().copied().unwrap_or_default()
    }

    /// Notes that everything before `cursor` is sent.
    pub(super) fn record_sent(&mut self, cursor: Cursor) {
        self.sent.push(cursor);
    }

    /// Goes back to the progress that the node reports, if it is of this snapshot.
    fn resume(mut self, load: &Load) -> Option<Self> {
        // The node may have received changes after the snapshot, which are sent again.
        self.sent
            .truncate(usize::try_from(load.batches).unwrap_or(usize::MAX));
        (load.image == self.snapshot.id).then_some(self)
    }
}

type Newest = Arc<AsyncMutex<Option<Arc<CachedSnapshot>>>>;

/// The newest requested snapshot, and the progress of nodes.
pub(super) struct SnapshotCache {
    store: Store,
    stop: Stop,
    /// Locked while a snapshot is read, so that others wait for it.
    newest: Newest,
    left: Mutex<HashMap<NodeId, Loading>>,
}

impl SnapshotCache {
    pub(super) fn new(store: Store, stop: Stop) -> Self {
        Self {
            store,
            stop,
            newest: Arc::default(),
            left: Mutex::default(),
        }
    }

    /// Returns the interrupted progress of the node, if the node still has it, or the newest
    /// snapshot. If cancelled, a snapshot is still read to its end for the next caller.
    pub(super) async fn load(
        &self,
        id: &NodeId,
        load: Option<&Load>,
    ) -> Result<Loading, StoreError> {
        let left = self
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        if let Some(left) = left.zip(load).and_then(|(left, load)| left.resume(load))
            && self
                .store
                .few_changes(left.snapshot.revision, MAX_CHANGED)
                .await?
        {
            return Ok(left);
        }
        Ok(Loading::new(self.newest().await?))
    }

    /// Keeps the progress of a node whose stream has ended.
    pub(super) fn keep_progress(&self, id: NodeId, mut loading: Loading) {
        let now = Instant::now();
        loading.left = now;
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|_, loading| now.duration_since(loading.left) < KEPT);
        let mut snapshots: Vec<_> = left
            .values()
            .map(|left| Arc::as_ptr(&left.snapshot))
            .collect();
        snapshots.push(Arc::as_ptr(&loading.snapshot));
        snapshots.sort_unstable();
        snapshots.dedup();

        if snapshots.len() <= 1 + MAX_OLDER {
            left.insert(id, loading);
        }
    }

    /// Returns the newest snapshot if few keys have changed since, or reads another one.
    async fn newest(&self) -> Result<Arc<CachedSnapshot>, StoreError> {
        let newest = self.newest.clone().lock_owned().await;
        if let Some(snapshot) = &*newest
            && self
                .store
                .few_changes(snapshot.revision, MAX_CHANGED)
                .await?
        {
            snapshot.used.store(true, Ordering::Relaxed);
            return Ok(snapshot.clone());
        }

        let read = tokio::spawn(replace(newest, self.store.clone(), self.stop.clone()));
        read.await.map_err(|_| StoreError::Interrupted)?
    }

    /// Drops the progress of nodes that have not returned, until `stop`.
    pub(super) async fn run_cleanup(&self) {
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                () = time::sleep(KEPT) => {}
                () = stop.requested() => return,
            }
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.retain(|_, loading| loading.left.elapsed() < KEPT);
        }
    }
}

/// Reads a snapshot, which replaces the newest one.
async fn replace(
    mut newest: OwnedMutexGuard<Option<Arc<CachedSnapshot>>>,
    store: Store,
    stop: Stop,
) -> Result<Arc<CachedSnapshot>, StoreError> {
    // Dropped first, so that only one snapshot is in memory.
    *newest = None;
    let snapshot = Arc::new(read(&store).await?);
    *newest = Some(snapshot.clone());
    let all = OwnedMutexGuard::mutex(&newest).clone();
    tokio::spawn(forget_unused(all, Arc::downgrade(&snapshot), KEPT, stop));
    Ok(snapshot)
}

/// Reads a whole snapshot.
async fn read(store: &Store) -> Result<CachedSnapshot, StoreError> {
    let mut id = [0; 16];
    random::fill(&mut id)?;
    let revision = store.revision();
    let mut batches = Batches::from_routes(store.encoded_routes().await?);

    // The newest policies, so that none is missing that a key of this revision refers to.
    batches.push(batches::policy_batches(store.policies().await?));
    batches.push(batches::key_batches(store.snapshot(revision).await?));
    Ok(CachedSnapshot {
        id,
        revision,
        batches,
        used: AtomicBool::new(true),
    })
}

/// Drops the snapshot once it was not requested for the time `kept`.
async fn forget_unused(
    newest: Newest,
    snapshot: Weak<CachedSnapshot>,
    kept: Duration,
    mut stop: Stop,
) {
    // If the snapshot is dropped, another has replaced it.
    while let Some(snapshot) = snapshot.upgrade() {
        if !snapshot.used.swap(false, Ordering::Relaxed) {
            newest
                .lock()
                .await
                .take_if(|newest| Arc::ptr_eq(newest, &snapshot));
            return;
        }
        drop(snapshot);
        tokio::select! {
            () = time::sleep(kept) => {}
            () = stop.requested() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop;
    use latchkey_policy::key::{Environment, KeyFormat};
    use latchkey_store::{NewKey, OpenMode, RouteRecords};

    async fn make_keys(store: &Store, names: std::ops::Range<u32>) {
        let admin = store.credentials("admin@localhost").await.unwrap().unwrap();
        let keys = names.map(|name| {
            let secret = KeyFormat::default()
                .generate(Environment::Live, getrandom::fill)
                .unwrap();
            NewKey::new(
                &admin.account_id,
                &admin.user_id,
                &name.to_string(),
                &secret,
                "basic",
                Environment::Live,
            )
        });
        store
            .create_keys(&keys.collect::<Vec<_>>(), 0)
            .await
            .unwrap();
    }

    fn node(instance: u64) -> NodeId {
        NodeId::from_instance("edge".to_owned(), instance)
    }

    #[tokio::test]
    async fn snapshot_is_reused_until_stale() {
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
        make_keys(&store, 0..10).await;
        let (_stopper, stop) = stop::channel();
        let cache = SnapshotCache::new(store.clone(), stop);
        let first = cache.newest().await.unwrap();

        assert_eq!(first.revision, store.revision());
        make_keys(&store, 10..20).await;
        assert!(Arc::ptr_eq(&cache.newest().await.unwrap(), &first));
        make_keys(&store, 20..20 + MAX_CHANGED).await;
        let second = cache.newest().await.unwrap();

        assert_eq!(second.revision, store.revision());
        assert!(second.batches.bytes() > 100 * first.batches.bytes());
    }

    #[tokio::test]
    async fn node_continues_where_its_stream_ended() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        let (_stopper, stop) = stop::channel();
        let cache = SnapshotCache::new(store, stop);
        let mut loading = cache.load(&node(1), None).await.unwrap();

        assert_eq!(
            (loading.load().batches, loading.cursor()),
            (0, Cursor::default())
        );

        for bytes in [10, 20, 30] {
            loading.record_sent(Cursor { batch: 1, bytes });
        }

        let (load, id) = (loading.load(), loading.snapshot.id);
        cache.keep_progress(node(1), loading);
        for (node_id, load, batches, bytes) in [
            (
                node(2),
                Some(Load {
                    batches: 2,
                    ..load.clone()
                }),
                0,
                0,
            ),
            (
                node(1),
                Some(Load {
                    batches: 2,
                    ..load.clone()
                }),
                2,
                20,
            ),
            (
                node(1),
                Some(Load {
                    batches: 9,
                    ..load.clone()
                }),
                2,
                20,
            ),
            (
                node(1),
                Some(Load {
                    image: vec![7; 16],
                    batches: 1,
                }),
                0,
                0,
            ),
            (node(1), None, 0, 0),
        ] {
            let loading = cache.load(&node_id, load.as_ref()).await.unwrap();
            assert_eq!(
                (
                    loading.load().batches,
                    loading.cursor().bytes,
                    loading.snapshot.id
                ),
                (batches, bytes, id)
            );
            cache.keep_progress(node_id, loading);
        }
    }

    #[tokio::test]
    async fn unused_snapshot_is_dropped_unless_replaced() {
        let batches = || Batches::from_routes(RouteRecords(Vec::new()));
        let snapshot = || {
            Arc::new(CachedSnapshot {
                id: [1; 16],
                revision: 7,
                batches: batches(),
                used: AtomicBool::new(true),
            })
        };
        let (old, new) = (snapshot(), snapshot());
        let newest = Arc::new(AsyncMutex::new(Some(new.clone())));
        let (_stopper, stop) = stop::channel();
        let kept = Duration::from_millis(1);
        forget_unused(newest.clone(), Arc::downgrade(&old), kept, stop.clone()).await;

        assert!(newest.lock().await.is_some());
        forget_unused(newest.clone(), Arc::downgrade(&new), kept, stop).await;
        assert!(newest.lock().await.is_none());
    }
}
