//! Tests how a node learns that it is current, and clocks that differ.

use crate::harness::{Plane, START};
use crate::node::{INSTANCE, METER, Node, Snapshot, hello, secret};
use latchkey_policy::limit::Window;
use latchkey_protocol::window_count::Kind;
use latchkey_protocol::{Ack, Alive, Hello, KeyUsage, WindowCount, from_node, to_node};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time;

async fn alive(node: &Node, sent: u64) {
    node.stream
        .send(from_node::Message::Alive(Alive {
            sent,
            unix_millis: 0,
        }))
        .await;
}

#[tokio::test]
async fn alive_is_answered_after_committed_changes() {
    let plane = Plane::start().await;
    let mut node = Node::ready(&plane).await;
    alive(&node, 100).await;
    let beat = node.stream.beat(true).await;
    assert_eq!(
        (beat.echo, beat.revision, &beat.tag),
        (100, node.snapshot.revision, &node.snapshot.tag)
    );

    // The maximum number of unacknowledged batches, and one more change.
    for name in ["a", "b", "c", "d"] {
        plane.create_keys(name, 1).await;
        while !matches!(node.stream.any().await, to_node::Message::Batch(_)) {}
    }
    plane.create_keys("e", 1).await;
    alive(&node, 200).await;
    let answered = time::timeout(Duration::from_secs(2), node.stream.beat(true)).await;
    assert!(
        answered.is_err(),
        "the node is current by its welcome: {answered:?}"
    );
    node.sequence += 4;
    node.acknowledge().await;
    let beat = node.stream.beat(true).await;
    let head = plane.store().head();
    assert_eq!(
        (beat.echo, beat.revision, beat.tag),
        (200, head.revision, head.tag.to_vec())
    );
}

#[tokio::test]
async fn heartbeats_continue_while_a_snapshot_loads() {
    let plane = Plane::start().await;
    plane.create_keys("key", 20_000).await;
    let mut node = Node::connect(&plane, hello(), Snapshot::default()).await;
    let (started, mut beats, mut batches) = (Instant::now(), 0, 0);
    while started.elapsed() < Duration::from_secs(6) {
        match node.stream.any().await {
            to_node::Message::Heartbeat(heartbeat) => {
                assert_eq!(heartbeat.echo, 0);
                beats += 1;
            }
            to_node::Message::Batch(batch) => {
                assert_eq!(batch.revision, 0, "it has loaded everything");
                batches += 1;
                // The acknowledgements are slow, so that there is always something to send.
                time::sleep(Duration::from_millis(300)).await;
                let ack = Ack {
                    sequence: batch.sequence,
                    revision: 0,
                };
                node.stream.send(from_node::Message::Ack(ack)).await;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(beats >= 3 && batches >= 5, "{beats} {batches}");
}

fn millis(seconds: i64) -> u64 {
    u64::try_from((START + seconds) * 1_000).unwrap()
}

#[tokio::test]
async fn the_skew_of_clocks_is_shown() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let skew = async || {
        client
            .get("/v1/nodes")
            .await
            .at("/data/nodes/0/clock_skew_ms")
            .clone()
    };
    let slow = Hello {
        unix_millis: millis(-90),
        ..hello()
    };
    let mut node = Node::connect(&plane, slow, Snapshot::default()).await;
    node.publish().await;
    assert_eq!(skew().await, json!(-90_000));
    assert_eq!(
        plane.metric("latchkey_node_clock_skew_seconds_max").await,
        90.0
    );
    // A message with an older time was delayed: the newest time is the closest to the node's clock.
    for (seconds, shown) in [(-1, -1_000), (-30, -1_000), (20, 20_000)] {
        node.stream
            .send(from_node::Message::Alive(Alive {
                sent: 1,
                unix_millis: millis(seconds),
            }))
            .await;
        node.stream.beat(true).await;
        assert_eq!(skew().await, json!(shown));
    }
}

/// Returns usage of a key with `count` admitted requests in the minute of `START` plus these
/// seconds.
fn admitted(key: u64, seconds: i64, count: u32) -> Vec<KeyUsage> {
    let number = Window::Minute.number(START + seconds);
    let windows = vec![WindowCount {
        kind: Kind::Minute.into(),
        number,
        count,
    }];
    vec![KeyUsage {
        key,
        requests: vec![count.into()],
        windows,
        ..KeyUsage::default()
    }]
}

#[tokio::test]
async fn counts_are_accepted_by_window() {
    let plane = Plane::start().await;
    plane.create_keys("key", 1).await;
    let mut one = Node::ready(&plane).await;
    let mut two = Node::connect(
        &plane,
        Hello {
            instance: 2,
            ..hello()
        },
        Snapshot::default(),
    )
    .await;
    two.publish().await;
    let key = one.snapshot.key("key-0").number;
    let held_back = async || plane.metric("latchkey_usage_held_back_total").await;
    let minutes = |node: &mut Node| {
        let reported = std::mem::take(&mut node.elsewhere);
        let windows = reported.into_iter().flat_map(|reported| reported.windows);
        windows
            .map(|window| (window.number, window.count))
            .collect::<Vec<_>>()
    };
    let now = Window::Minute.number(START);
    one.count(admitted(key, 0, 5)).await;
    two.report(admitted(key, 0, 1)).await;
    two.usage_of_others().await;
    two.all_stored().await;
    minutes(&mut one);
    // A window that has ended is ignored without an alarm.
    one.count(admitted(key, -7_200, 50)).await;
    assert!(two.stream.is_silent().await);
    assert_eq!(held_back().await, 0.0);
    // A window more than 5 minutes ahead is held back with an alarm.
    one.count(admitted(key, 361, 50)).await;
    assert!(two.stream.is_silent().await);
    assert!(held_back().await > 0.0);
    // If a clock is up to 5 minutes fast, the other nodes stay in their own windows, and count its
    // requests in their later windows.
    one.count(admitted(key, 240, 7)).await;
    two.count(admitted(key, 0, 2)).await;
    one.usage_of_others().await;
    assert!(
        minutes(&mut two)
            .iter()
            .all(|reported| *reported == (now, 5)),
        "the node gets a window that is not its own"
    );
    plane.clock.advance(240);
    two.report(admitted(key, 240, 1)).await;
    two.elsewhere = two.usage_of_others().await;
    assert_eq!(minutes(&mut two).last(), Some(&(now + 4, 7)));
}

#[tokio::test]
async fn wrong_node_time_changes_no_limit() {
    let plane = Plane::start().await;
    plane.create_keys("key", 1).await;
    let mut node = Node::ready(&plane).await;
    let rogue = Hello {
        instance: 2,
        unix_millis: millis(-3_600),
        ..hello()
    };
    let mut rogue = Node::connect(&plane, rogue, Snapshot::default()).await;
    rogue.publish().await;
    let key = node.snapshot.key("key-0").number;
    node.count(admitted(key, 0, 5)).await;
    rogue.count(admitted(key, 0, 1_000)).await;
    assert!(node.stream.is_silent().await);
    assert!(plane.metric("latchkey_usage_held_back_total").await > 0.0);
    assert_eq!(
        plane.metric("latchkey_node_clock_skew_seconds_max").await,
        3_600.0
    );
}

/// Each stream is sent the sum without its own count.
#[tokio::test]
async fn streams_sharing_a_meter_count_once() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let shared = || Hello {
        meter_secret: secret(METER, INSTANCE),
        ..hello()
    };
    let mut one = Node::connect(&plane, shared(), Snapshot::default()).await;
    let mut two = Node::connect(
        &plane,
        Hello {
            instance: 2,
            ..shared()
        },
        Snapshot::default(),
    )
    .await;
    let mut other = Node::connect(
        &plane,
        Hello {
            instance: 3,
            ..hello()
        },
        Snapshot::default(),
    )
    .await;
    for node in [&mut one, &mut two, &mut other] {
        node.publish().await;
    }
    let key = one.snapshot.key("CI").number;
    other.count(admitted(key, 0, 4)).await;
    one.report(admitted(key, 0, 10)).await;
    for node in [&mut one, &mut two] {
        let reported = node.usage_of_others().await;
        assert!(
            reported
                .iter()
                .flat_map(|reported| &reported.windows)
                .all(|window| window.count == 4),
            "{reported:?}"
        );
    }
    assert!(
        other
            .usage_of_others()
            .await
            .iter()
            .flat_map(|reported| &reported.windows)
            .all(|window| window.count == 10)
    );
    // The other node reports the same and fewer requests, as it reads the usage at another time.
    for count in [10, 8] {
        two.count(admitted(key, 0, count)).await;
    }
    let usage = client.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(usage.at("/data/usage/by_code/allowed"), 14);
}
