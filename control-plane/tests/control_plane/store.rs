//! The store's exports: whatever happens in between, pages and changes add up to the live keys.

use crate::harness::Plane;
use crate::node::Snapshot;
use latchkey_control_plane::store::{Changes, Chunks, Store};
use latchkey_policy::key::KeyDigest;
use latchkey_protocol::Batch;
use std::collections::{BTreeMap, BTreeSet};

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

fn whole(chunks: Chunks) -> Vec<u8> {
    chunks.into_iter().flatten().collect()
}

fn apply(snapshot: &mut Snapshot, changes: Changes) {
    snapshot.apply(&Batch {
        policies: whole(changes.policies).into(),
        keys: whole(changes.keys).into(),
        removed_keys: whole(changes.removed).into(),
        removed_policies: whole(changes.removed_policies).into(),
        routes: changes.routes.unwrap_or_default().into(),
        revision: changes.to,
        sequence: 0,
    });
}

/// The live keys, by digest, as they should be.
struct Model {
    live: BTreeMap<KeyDigest, String>,
    made: usize,
    /// That ever lived at once.
    most: usize,
}

impl Model {
    async fn change(&mut self, plane: &Plane, account: &str, dice: &mut Dice) {
        if dice.roll(2) == 0 {
            self.made += 1;
            let made = plane.create_keys(&format!("key-{}", self.made), 1 + dice.roll(3)).await;
            self.live.extend(made.into_iter().map(|(secret, id)| (secret.digest(), id)));
            self.most = self.most.max(self.live.len());
        } else if !self.live.is_empty() {
            let victim = *self.live.keys().nth(dice.roll(self.live.len())).unwrap();
            let id = self.live.remove(&victim).unwrap();
            plane.store().revoke_keys(account, &[id], 0).await.unwrap();
        }
    }

    fn matches(&self, snapshot: &Snapshot) -> bool {
        let held: BTreeMap<_, _> = snapshot.keys.iter().map(|(digest, key)| (*digest, key.id.clone())).collect();
        let slots: BTreeSet<_> = snapshot.keys.values().map(|key| key.slot).collect();
        assert_eq!(slots.len(), snapshot.keys.len(), "two keys are counted in one slot");
        assert!(slots.iter().all(|slot| usize::try_from(*slot).unwrap() < self.most), "slots are not used again");
        held == self.live
    }
}

/// A snapshot in pages, with changes between them as the dice fall.
async fn page_through(plane: &Plane, model: &mut Model, account: &str, dice: &mut Dice) -> Snapshot {
    let store: &Store = plane.store();
    let mut snapshot = Snapshot::default();
    let revision = store.revision();
    // The first of the changes are the policies that the pages name; a stream sends them first as well.
    let policies = store.changes_since(0).await.unwrap().policies;
    snapshot.apply(&Batch { policies: whole(policies).into(), ..Batch::default() });
    let mut after = None;
    loop {
        let page = store.snapshot_page(revision, after, 3).await.unwrap();
        snapshot.apply(&Batch { keys: whole(page.keys).into(), ..Batch::default() });
        for _ in 0..dice.roll(3) {
            model.change(plane, account, dice).await;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    apply(&mut snapshot, store.changes_since(revision).await.unwrap());
    snapshot
}

#[tokio::test]
async fn pages_and_changes_add_up_whatever_happens_in_between() {
    let plane = Plane::start().await;
    let account = &plane.owner().await.0;
    let mut model = Model { live: BTreeMap::new(), made: 0, most: 0 };
    let mut dice = Dice(7);
    let mut follower = Snapshot { revision: 1, ..Snapshot::default() };
    for round in 0..40 {
        for _ in 0..dice.roll(6) {
            model.change(&plane, account, &mut dice).await;
        }
        let paged = page_through(&plane, &mut model, account, &mut dice).await;
        assert!(model.matches(&paged), "pages, round {round}");
        let changes = plane.store().changes_since(follower.revision).await.unwrap();
        apply(&mut follower, changes);
        assert!(model.matches(&follower), "changes, round {round}");
        assert_eq!(follower.revision, plane.store().revision());
    }
    assert!(model.made > 40, "the dice made too little happen");
}

#[tokio::test]
async fn every_change_is_one_revision() {
    let plane = Plane::start().await;
    let account = &plane.owner().await.0;
    let mut expected = 1;
    assert_eq!(plane.store().revision(), expected);
    for count in [1, 500, 2] {
        let made = plane.create_keys(&format!("{count}"), count).await;
        expected += 1;
        assert_eq!(plane.store().revision(), expected);
        let ids: Vec<_> = made.into_iter().map(|(_, id)| id).collect();
        let revoked = plane.store().revoke_keys(account, &ids, 5).await.unwrap();
        expected += 1;
        assert!(revoked.iter().all(|key| key.revision == expected && key.revoked_at == 5));
    }
    let pool = plane.pool().await;
    let stored: i64 = sqlx::query_scalar("SELECT revision FROM meta").fetch_one(&pool).await.unwrap();
    assert_eq!(u64::try_from(stored).unwrap(), expected);
}

#[tokio::test]
async fn a_database_has_one_control_plane() {
    let plane = Plane::start().await;
    let second = Store::open(&plane.database()).await.err().unwrap().to_string();
    assert!(second.contains("in use by another control plane"), "{second}");
}
