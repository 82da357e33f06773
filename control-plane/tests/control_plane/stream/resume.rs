//! Tests nodes that connect again: they get the changes, or a full snapshot.

use crate::harness::Plane;
use crate::node::{Node, Snapshot, hello};

#[tokio::test]
async fn returning_node_gets_only_changes() {
    let mut plane = Plane::start().await;
    plane.create_keys("old", 1_000).await;
    let node = Node::ready(&plane).await;
    let before = node.snapshot.clone();
    drop(node);
    plane.restart().await;
    let client = plane.log_in().await;
    client.key("new").await;
    let gone = before.keys.values().next().unwrap().clone();
    client.delete(&format!("/v1/keys/{}", gone.id)).await;

    let mut node = Node::connect(&plane, hello(), before).await;
    assert!(node.welcome.resume);
    let batches = node.publish().await;
    assert_eq!(batches.len(), 1);
    assert!(
        batches[0].keys.len() < 200 && batches[0].removed_keys.len() == 32,
        "{batches:?}"
    );
    assert_eq!(node.snapshot.revision, plane.store().revision());
    assert_eq!(node.snapshot, Node::ready(&plane).await.snapshot);
    assert!(!node.snapshot.names().contains(&gone.name.as_str()));
    for (kind, count) in [("resumed", 1.0), ("full", 1.0)] {
        let metric = plane
            .metric(&format!(
                "latchkey_stream_snapshots_total{{kind=\"{kind}\"}}"
            ))
            .await;
        assert!((metric - count).abs() < f64::EPSILON, "{kind}: {metric}");
    }
}

#[tokio::test]
async fn node_far_behind_loads_a_full_snapshot() {
    let plane = Plane::start().await;
    plane.create_keys("before", 1).await;
    let behind = Node::ready(&plane).await.snapshot;
    plane.create_keys("many", 99_999).await;
    let node = Node::connect(&plane, hello(), behind.clone()).await;
    assert_eq!((node.welcome.resume, node.welcome.keys), (true, 0));

    plane.create_keys("last", 1).await;
    let mut node = Node::connect(&plane, hello(), behind).await;
    assert_eq!((node.welcome.resume, node.welcome.keys), (false, 100_001));
    node.publish().await;
    assert_eq!(node.snapshot.keys.len(), 100_001);
    for (kind, count) in [("resumed", 1.0), ("full", 2.0)] {
        let metric = plane
            .metric(&format!(
                "latchkey_stream_snapshots_total{{kind=\"{kind}\"}}"
            ))
            .await;
        assert!((metric - count).abs() < f64::EPSILON, "{kind}: {metric}");
    }
}

#[tokio::test]
async fn node_that_missed_nothing_is_current() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("CI").await;
    let snapshot = Node::ready(&plane).await.snapshot;
    let mut node = Node::connect(&plane, hello(), snapshot.clone()).await;
    let batch = node.take().await;
    let (revision, tag) = (snapshot.revision, snapshot.tag.clone().into());
    assert_eq!(
        batch,
        latchkey_protocol::Batch {
            sequence: 1,
            revision,
            tag,
            ..Default::default()
        }
    );
    assert_eq!(node.snapshot, snapshot);
}

#[tokio::test]
async fn node_of_lost_history_starts_over() {
    let plane = Plane::start().await;
    plane.log_in().await.key("ours").await;
    let ahead = Snapshot {
        epoch: plane.store().epoch().to_vec(),
        revision: 99,
        ..Snapshot::default()
    };
    let mut node = Node::connect(&plane, hello(), ahead).await;
    assert!(!node.welcome.resume);
    node.publish().await;
    assert_eq!(node.snapshot.names(), ["ours"]);
}
