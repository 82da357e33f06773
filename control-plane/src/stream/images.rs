//! The whole snapshot as batches, read once for all nodes that load it at the same time or soon after one another.

use latchkey_protocol::Batch;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time;

use super::batches;
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// One that nobody has asked for in so long is forgotten, as it takes the room of all records.
const KEPT: Duration = Duration::from_secs(60);

/// With so many keys changed since, another one is read.
const STALE: u32 = 10_000;

/// All live keys as of `revision`, without those that have changed since: those are among the changes since it.
pub(super) struct Image {
    pub(super) revision: u64,
    pub(super) batches: Vec<Batch>,
    /// Since it was looked at last whether anybody does.
    used: AtomicBool,
}

type Newest = Arc<Mutex<Option<Arc<Image>>>>;

/// The newest that was asked for.
pub(super) struct Images {
    store: Store,
    stop: Stop,
    /// Held by whoever reads one: others wait for that.
    newest: Newest,
}

impl Images {
    pub(super) fn new(store: Store, stop: Stop) -> Self {
        Self { store, stop, newest: Arc::default() }
    }

    /// The newest if it is good enough, or another one. Cancelled, it is read to its end for the next who asks.
    pub(super) async fn get(&self) -> Result<Arc<Image>, StoreError> {
        let newest = self.newest.clone().lock_owned().await;
        if let Some(image) = &*newest
            && self.store.few_changes(image.revision, STALE).await?
        {
            image.used.store(true, Ordering::Relaxed);
            return Ok(image.clone());
        }
        let read = tokio::spawn(replace(newest, self.store.clone(), self.stop.clone()));
        read.await.map_err(|_| StoreError::Interrupted)?
    }
}

async fn replace(
    mut newest: OwnedMutexGuard<Option<Arc<Image>>>,
    store: Store,
    stop: Stop,
) -> Result<Arc<Image>, StoreError> {
    // Not both at a time.
    *newest = None;
    let image = Arc::new(read(&store).await?);
    *newest = Some(image.clone());
    let all = OwnedMutexGuard::mutex(&newest).clone();
    tokio::spawn(forget_unused(all, Arc::downgrade(&image), KEPT, stop));
    Ok(image)
}

async fn read(store: &Store) -> Result<Image, StoreError> {
    let revision = store.revision();
    let mut batches = vec![batches::of_routes(store.encoded_routes().await?)];
    // At their newest, so that none is missing that a key of this revision names.
    batches.extend(batches::of_policies(store.policies().await?));
    batches.extend(batches::of_keys(store.snapshot(revision).await?));
    Ok(Image { revision, batches, used: AtomicBool::new(true) })
}

/// Forgets the image once nobody has asked for it in the time for which it is `kept`.
async fn forget_unused(newest: Newest, image: Weak<Image>, kept: Duration, mut stop: Stop) {
    // If it is gone, another has taken its place.
    while let Some(image) = image.upgrade() {
        if !image.used.swap(false, Ordering::Relaxed) {
            newest.lock().await.take_if(|newest| Arc::ptr_eq(newest, &image));
            return;
        }
        drop(image);
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
    use crate::store::NewKey;
    use latchkey_policy::key::{Environment, KeyFormat};

    async fn make_keys(store: &Store, names: std::ops::Range<u32>) {
        let admin = store.credentials("admin@localhost").await.unwrap().unwrap();
        let keys = names.map(|name| {
            let secret = KeyFormat::default().generate(Environment::Live, getrandom::fill).unwrap();
            NewKey::new(&admin.account_id, &admin.user_id, &name.to_string(), &secret, "basic", Environment::Live)
        });
        store.create_keys(&keys.collect::<Vec<_>>(), 0).await.unwrap();
    }

    #[tokio::test]
    async fn an_image_is_used_again_until_much_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("latchkey.db")).await.unwrap();
        store.add_admin("admin@localhost", "", false, 0).await.unwrap();
        make_keys(&store, 0..10).await;
        let (_stopper, stop) = stop::channel();
        let images = Images::new(store.clone(), stop);
        let first = images.get().await.unwrap();
        assert_eq!(first.revision, store.revision());
        make_keys(&store, 10..20).await;
        assert!(Arc::ptr_eq(&images.get().await.unwrap(), &first));
        make_keys(&store, 20..20 + STALE).await;
        let second = images.get().await.unwrap();
        assert_eq!(second.revision, store.revision());
        let bytes = |image: &Image| image.batches.iter().map(batches::record_bytes).sum::<u64>();
        assert!(bytes(&second) > 100 * bytes(&first));
    }

    #[tokio::test]
    async fn an_image_is_forgotten_unless_another_has_taken_its_place() {
        let image = || Arc::new(Image { revision: 7, batches: Vec::new(), used: AtomicBool::new(true) });
        let (old, new) = (image(), image());
        let newest = Arc::new(Mutex::new(Some(new.clone())));
        let (_stopper, stop) = stop::channel();
        let kept = Duration::from_millis(1);
        forget_unused(newest.clone(), Arc::downgrade(&old), kept, stop.clone()).await;
        assert!(newest.lock().await.is_some());
        forget_unused(newest.clone(), Arc::downgrade(&new), kept, stop).await;
        assert!(newest.lock().await.is_none());
    }
}
