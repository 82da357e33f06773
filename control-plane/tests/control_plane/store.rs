//! Tests the store's exports: with any changes between the pages, pages and changes add up to the
//! live keys with all their secrets.

use crate::harness::{Client, Plane, START};
use crate::node::Snapshot;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::limit::Window;
use latchkey_protocol::Batch;
use latchkey_store::{Changes, Chunks, OpenMode, RouteRecords, Store};
use std::collections::{BTreeMap, BTreeSet};

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

fn whole(chunks: Chunks) -> Vec<u8> {
    chunks.into_iter().flatten().collect()
}

/// Returns the rules' record in the newest format.
fn newest(routes: Option<RouteRecords>) -> Vec<u8> {
    routes
        .and_then(|RouteRecords(mut routes)| routes.pop())
        .unwrap_or_default()
}

fn apply(snapshot: &mut Snapshot, changes: Changes) {
    snapshot.apply(&Batch {
        policies: whole(changes.policies).into(),
        keys: whole(changes.keys).into(),
        removed_keys: whole(changes.removed).into(),
        removed_policies: whole(changes.removed_policies).into(),
        routes: newest(changes.routes).into(),
        revision: changes.to,
        tag: changes.tag.to_vec().into(),
        ..Batch::default()
    });
}

/// The overlap of secrets that have one, in seconds.
const OVERLAP: u32 = 60;

/// The number of live keys from which on keys are only revoked.
const ENOUGH: usize = 40;

/// The first of the four numbers that revoke a key.
const REVOCATION: usize = 6;

/// A time long after the end of every overlap.
const LATER: i64 = START + 3 * 86_400;

/// The expected live keys: their secrets by id, the newest last.
struct Model {
    live: BTreeMap<String, Vec<KeyDigest>>,
    imported: BTreeSet<KeyDigest>,
    made: usize,
    /// The maximum number of keys that lived at the same time.
    most: usize,
}

impl Model {
    async fn change(&mut self, plane: &Plane, client: &Client<'_>, dice: &mut Dice) {
        let victim = (!self.live.is_empty()).then(|| dice.roll(self.live.len()));
        let victim = victim.and_then(|at| self.live.keys().nth(at)).cloned();
        // With more keys there would be more pages, and so more changes between them.
        let what = if self.live.len() < ENOUGH {
            dice.roll(16)
        } else {
            REVOCATION
        };
        match (what, victim) {
            (0, _) => {
                plane.store().clean_up_secrets(LATER).await.unwrap();
                self.live
                    .values_mut()
                    .for_each(|secrets| drop(secrets.drain(..secrets.len() - 1)));
            }
            (1, _) => {
                self.made += 1;
                let key = format!("sk-{:010}", self.made);
                let id = client.import(&key, &key).await;
                let digest = KeyDigest::of(key.as_bytes());
                self.live.insert(id, vec![digest]);
                self.imported.insert(digest);
            }
            (2..=5, Some(id)) => {
                let overlap = if dice.roll(2) == 0 { OVERLAP } else { 0 };
                let secrets = self.live.get_mut(&id).unwrap();
                // While an overlap runs, the newest secret is replaced.
                match (overlap, secrets.len()) {
                    (0, _) => secrets.clear(),
                    (_, 1) => {}
                    _ => drop(secrets.pop()),
                }
                secrets.push(KeyDigest::of(
                    client.regenerate(&id, overlap).await.as_bytes(),
                ));
            }
            (REVOCATION..=9, Some(id)) => {
                self.live.remove(&id);
                plane
                    .store()
                    .revoke_keys(&plane.owner().await.0, &[id], 0)
                    .await
                    .unwrap();
            }
            _ => {
                self.made += 1;
                let made = plane
                    .create_keys(&format!("key-{}", self.made), 1 + dice.roll(3))
                    .await;
                self.live.extend(
                    made.into_iter()
                        .map(|(secret, id)| (id, vec![secret.digest()])),
                );
            }
        }
        self.most = self.most.max(self.live.len());
    }

    fn matches(&self, snapshot: &Snapshot) -> bool {
        let held: BTreeMap<_, _> = snapshot
            .keys
            .iter()
            .map(|(digest, key)| (*digest, key.id.clone()))
            .collect();
        let slots: BTreeMap<_, _> = snapshot
            .keys
            .values()
            .map(|key| (key.slot, &key.id))
            .collect();
        for key in snapshot.keys.values() {
            assert_eq!(
                slots[&key.slot], &key.id,
                "two keys are counted in one slot"
            );
            let ends = key.secret
                != snapshot
                    .keys
                    .values()
                    .filter(|k| k.id == key.id)
                    .map(|k| k.secret)
                    .max()
                    .unwrap();
            assert_eq!(key.expires_at.is_some(), ends, "only an old secret ends");
        }
        assert!(
            slots
                .keys()
                .all(|slot| usize::try_from(*slot).unwrap() < self.most),
            "slots are not used again"
        );
        let secrets = |(id, secrets): (&String, &Vec<KeyDigest>)| {
            secrets
                .iter()
                .map(|digest| (*digest, id.clone()))
                .collect::<Vec<_>>()
        };
        let live: BTreeMap<_, _> = self.live.iter().flat_map(secrets).collect();
        assert_eq!(
            snapshot.imported(),
            live.keys().any(|digest| self.imported.contains(digest))
        );
        held == live
    }
}

/// Reads a snapshot in pages, with random changes between them.
async fn page_through(
    plane: &Plane,
    model: &mut Model,
    client: &Client<'_>,
    dice: &mut Dice,
) -> Snapshot {
    let store: &Store = plane.store();
    let mut snapshot = Snapshot::default();
    let revision = store.revision();
    // The first changes are the rules and the policies that the pages refer to. A stream also sends
    // them first.
    let Changes {
        routes, policies, ..
    } = store.changes_since(0).await.unwrap();
    let (routes, policies) = (newest(routes).into(), whole(policies).into());
    snapshot.apply(&Batch {
        routes,
        policies,
        ..Batch::default()
    });
    let mut after = None;
    loop {
        let page = store.snapshot_page(revision, after, 3).await.unwrap();
        snapshot.apply(&Batch {
            keys: whole(page.keys).into(),
            ..Batch::default()
        });
        for _ in 0..dice.roll(3) {
            model.change(plane, client, dice).await;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    apply(&mut snapshot, store.changes_since(revision).await.unwrap());
    snapshot
}

/// Makes random changes between the pages.
#[tokio::test]
async fn pages_and_changes_match_across_interleavings() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    // A use on this day confirms the clock.
    let statement = "INSERT INTO window_counts (kind, number, key_seq, count) VALUES (3, ?, 1, 1)";
    sqlx::query(statement)
        .bind(Window::Day.number(LATER))
        .execute(&plane.pool().await)
        .await
        .unwrap();
    let mut model = Model {
        live: BTreeMap::new(),
        imported: BTreeSet::new(),
        made: 0,
        most: 0,
    };
    let mut dice = Dice(7);
    let mut follower = Snapshot {
        revision: 1,
        ..Snapshot::default()
    };
    for round in 0..40 {
        for _ in 0..dice.roll(6) {
            model.change(&plane, &client, &mut dice).await;
        }
        let paged = page_through(&plane, &mut model, &client, &mut dice).await;
        assert!(model.matches(&paged), "pages, round {round}");
        let changes = plane
            .store()
            .changes_since(follower.revision)
            .await
            .unwrap();
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
        assert!(
            revoked
                .iter()
                .all(|key| key.revision == expected && key.revoked_at == 5)
        );
    }
    let pool = plane.pool().await;
    let stored: i64 = sqlx::query_scalar("SELECT revision FROM meta")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(u64::try_from(stored).unwrap(), expected);
}

#[tokio::test]
async fn a_database_has_one_control_plane() {
    let plane = Plane::start().await;
    let second = Store::open(&plane.database(), OpenMode::CreateIfMissing)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        second.contains("in use by another control plane"),
        "{second}"
    );
}
