//! Tests the history of revisions: how it is proven, and how nodes with another history are
//! handled.

mod epochs;

use crate::harness::{NODE_TOKEN, Plane};
use crate::node::{Node, Snapshot, Stream, former_hello, hello};
use latchkey_protocol::{Hello, from_node};
use latchkey_store::backup::{backup, restore};
use reqwest::Method;
use serde_json::json;
use std::fs;

async fn mismatches(plane: &Plane) -> f64 {
    plane.metric("latchkey_history_mismatches_total").await
}

/// Opens a stream with this Hello, and does not wait for a welcome.
async fn open(plane: &Plane, hello: Hello) -> Stream {
    let stream = Stream::open(plane, Some(&format!("Bearer {NODE_TOKEN}")))
        .await
        .unwrap();
    stream.send(from_node::Message::Hello(hello)).await;
    stream
}

#[tokio::test]
async fn each_revision_has_a_random_tag() {
    let plane = Plane::start().await;
    let mut node = Node::ready(&plane).await;
    let mut tags = vec![node.snapshot.tag.clone()];
    for name in ["one", "two"] {
        plane.create_keys(name, 1).await;
        node.publish().await;
        assert_eq!(node.snapshot.tag, plane.store().head().tag);
        tags.push(node.snapshot.tag.clone());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3);
    let beat = node.stream.beat(false).await;
    assert_eq!(
        (beat.revision, beat.tag),
        (node.snapshot.revision, node.snapshot.tag)
    );
}

#[tokio::test]
async fn node_resumes_only_from_a_tagged_revision() {
    let plane = Plane::start().await;
    plane.create_keys("key", 1).await;
    let mut other = Node::connect(
        &plane,
        Hello {
            instance: 2,
            ..hello()
        },
        Snapshot::default(),
    )
    .await;
    other.publish().await;
    let held = Node::ready(&plane).await.snapshot;
    assert!(
        Node::connect(&plane, hello(), held.clone())
            .await
            .welcome
            .resume
    );
    assert_eq!(mismatches(&plane).await, 0.0);

    let epoch = plane.store().epoch();
    for wrong in [
        Snapshot {
            tag: vec![7; 16],
            ..held.clone()
        },
        Snapshot {
            revision: held.revision + 1_000,
            ..held.clone()
        },
        Snapshot {
            revision: u64::MAX,
            ..held.clone()
        },
    ] {
        let before = mismatches(&plane).await;
        let mut node = Node::connect(&plane, hello(), wrong).await;
        assert!(!node.welcome.resume);
        node.publish().await;
        assert_eq!(node.snapshot.names(), ["key-0"]);
        assert_eq!(mismatches(&plane).await, before + 1.0);
    }
    // Only that node reloads: the epoch stays, and the others' streams continue.
    assert_eq!(plane.store().epoch(), epoch);
    assert!(other.stream.is_silent().await);
    plane.create_keys("more", 1).await;
    assert_eq!(other.publish().await.len(), 1);
}

#[tokio::test]
async fn missing_tag_raises_no_alarm() {
    let plane = Plane::start().await;
    plane.create_keys("key", 1).await;
    let held = Node::ready(&plane).await.snapshot;
    let node = Node::connect(
        &plane,
        Hello {
            instance: 8,
            ..former_hello()
        },
        held.clone(),
    )
    .await;
    assert!(!node.welcome.resume);
    plane.create_keys("more", 1).await;
    sqlx::query("DELETE FROM history WHERE revision <= ?")
        .bind(held.revision.cast_signed())
        .execute(&plane.pool().await)
        .await
        .unwrap();
    let node = Node::connect(&plane, hello(), held).await;
    assert!(!node.welcome.resume);
    assert_eq!(mismatches(&plane).await, 0.0);
}

#[tokio::test]
async fn rolled_back_database_serves_nothing_lost() {
    let mut plane = Plane::start().await;
    let made = plane.create_keys("key", 2).await;
    plane.take().shutdown().await;
    let (database, copy) = (plane.database(), plane.database().with_extension("copy"));
    plane.copy_database(&copy).await;
    plane.run().await;
    for name in ["lost-a", "lost-b", "lost-c"] {
        plane.create_keys(name, 1).await;
    }
    let held = Node::ready(&plane).await.snapshot;
    let lost = held.key("lost-c-0").number;
    plane.take().shutdown().await;
    fs::copy(&copy, &database).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", database.display()));
    }
    plane.run().await;
    // The revisions overtake the node's: the revision that revokes a key has a number that the node
    // has already.
    let client = plane.log_in().await;
    client
        .delete(&format!("/v1/keys/{}?wait_ms=0", made[0].1))
        .await;
    for name in ["a", "b", "c", "d"] {
        plane.create_keys(name, 1).await;
    }
    assert!(plane.store().revision() > held.revision);
    let mut node = Node::connect(&plane, hello(), held).await;
    assert!(!node.welcome.resume);
    node.publish().await;
    assert_eq!(node.snapshot.names(), ["a-0", "b-0", "c-0", "d-0", "key-1"]);
    assert_eq!(mismatches(&plane).await, 1.0);
    assert_ne!(
        node.snapshot.key("a-0").number,
        lost,
        "a number was given again"
    );
}

#[tokio::test]
async fn revision_numbers_jump_at_starts_only() {
    let mut plane = Plane::start().await;
    // Each tier has a different policy.
    let created = async |plane: &Plane, tier: &str| {
        plane.create_keys_of(tier, tier, 1).await;
        let snapshot = Node::ready(plane).await.snapshot;
        let key = snapshot.key(&format!("{tier}-0"));
        (key.number, key.policy)
    };
    let (first, policy) = created(&plane, "free").await;
    let held = Node::ready(&plane).await.snapshot;
    drop(
        Node::connect(
            &plane,
            hello(),
            Snapshot {
                revision: 500,
                ..held
            },
        )
        .await,
    );
    assert_eq!(created(&plane, "basic").await, (first + 1, policy + 1));
    for (restarts, tier) in [(1, "pro"), (2, "enterprise")] {
        plane.restart().await;
        let (number, other) = created(&plane, tier).await;
        assert!(
            number >= first + restarts * 1_000_000 && other >= policy + restarts * 1_000_000,
            "{tier}"
        );
    }
}

/// Nodes need no confirmation after the restore.
#[tokio::test]
async fn restore_counts_nodes_after_the_backup() {
    let mut plane = Plane::start().await;
    plane.create_keys("kept", 1).await;
    let file = plane.database().with_extension("backup");
    backup(&plane.database(), &file).await.unwrap();
    plane.create_keys("lost", 1).await;
    // The node connects after the backup, which does not contain it.
    let held = Node::ready(&plane).await.snapshot;
    plane.take().shutdown().await;
    restore(&file, &plane.database(), true, 5).await.unwrap();
    plane.run().await;
    let client = plane.log_in().await;
    let answer = client
        .send(
            Method::POST,
            "/v1/keys/generate?wait_ms=0",
            json!({"name": "new"}),
        )
        .await;
    assert_eq!(answer.enforcement(), (1, 0));
    assert_eq!(answer.at("/data/enforcement/lost"), 1);
    let mut node = Node::connect(&plane, hello(), held).await;
    assert!(!node.welcome.resume);
    node.publish().await;
    assert_eq!(node.snapshot.names(), ["kept-0", "new"]);
    assert_eq!(mismatches(&plane).await, 0.0);
}
