//! Tests what a node is sent about requests that other nodes admitted.

use super::*;
use crate::harness::{Plane, START};
use crate::node::{Node, Snapshot, hello};
use latchkey_protocol::{Hello, KeyRemoteUsage, KeyUsage, to_node};
use std::time::{Duration, Instant};

/// Nodes that do not use the key learn nothing.
#[tokio::test]
async fn nodes_sharing_keys_learn_usage() {
    let plane = Plane::start().await;
    plane.create_keys("key", 2).await;
    let (mut one, mut two, mut idle) = (
        node(&plane, 1).await,
        node(&plane, 2).await,
        node(&plane, 3).await,
    );
    let held = one.snapshot.key("key-1").clone();
    let other = one.snapshot.key("key-0").number;
    let usage = |count| {
        vec![KeyRemoteUsage {
            key: held.number,
            slot: held.slot,
            windows: windows(START, count),
        }]
    };
    one.count(vec![admitted(held.number, 5)]).await;
    assert_eq!(one.elsewhere, [], "nobody else uses it");
    // A node that begins to use a key is sent the earlier counts at once.
    two.report(vec![admitted(held.number, 2)]).await;
    assert_eq!(two.usage_of_others().await, usage(5));
    assert_eq!(one.usage_of_others().await, usage(2));
    // Both nodes use the key, so they are sent every change, within the promised time.
    for count in 6..12 {
        let reported = Instant::now();
        one.report(vec![admitted(held.number, count)]).await;
        assert_eq!(two.usage_of_others().await, usage(count));
        assert!(
            reported.elapsed() < Duration::from_secs(1),
            "it took {:?}",
            reported.elapsed()
        );
        one.all_stored().await;
    }
    // A node is not sent reports that change nothing, or its own reports.
    one.count(vec![admitted(held.number, 11)]).await;
    idle.count(vec![admitted(other, 1)]).await;
    for node in [&mut one, &mut two, &mut idle] {
        assert_eq!(node.elsewhere, []);
        assert!(node.stream.is_silent().await);
    }
}

#[tokio::test]
async fn sums_cover_current_windows_of_others() {
    let plane = Plane::start().await;
    plane.create_keys("key", 1).await;
    let (mut one, mut two, mut three) = (
        node(&plane, 1).await,
        node(&plane, 2).await,
        node(&plane, 3).await,
    );
    let key = one.snapshot.key("key-0").number;
    one.count(vec![admitted(key, 5)]).await;
    two.count(vec![admitted(key, 7)]).await;
    one.usage_of_others().await;
    two.usage_of_others().await;
    // Two minutes pass.
    plane.clock.advance(120);
    let later = KeyUsage {
        windows: windows(START + 120, 1),
        ..admitted(key, 1)
    };
    three.report(vec![later]).await;
    // The window of this minute is new, and that of the earlier minute has ended; the others
    // continue.
    let mut sums = windows(START, 12);
    sums.remove(0);
    assert_eq!(three.usage_of_others().await[0].windows, sums);
    let usage = one.usage_of_others().await.remove(0).windows;
    let mut sums = windows(START + 120, 8);
    sums[0].count = 1;
    assert_eq!(usage, sums);
    // Windows in which no clock is are ignored, for every node.
    let ahead = KeyUsage {
        windows: windows(START + 86_400 * 40, 90),
        requests: vec![9],
        ..admitted(key, 9)
    };
    two.count(vec![ahead]).await;
    assert!(one.stream.is_silent().await);
}

#[tokio::test]
async fn new_process_learns_usage_before_admitting() {
    let mut plane = Plane::start().await;
    plane.create_keys("key", 3).await;
    let mut before = node(&plane, 1).await;
    let [used, other, gone] =
        ["key-0", "key-1", "key-2"].map(|name| before.snapshot.key(name).clone());
    before
        .count(vec![
            admitted(used.number, 5),
            admitted(other.number, 3),
            admitted(gone.number, 9),
        ])
        .await;
    drop(before);
    let client = plane.log_in().await;
    client
        .delete(&format!("/v1/keys/{}?wait_ms=0", gone.id))
        .await;
    plane.restart().await;

    let mut after = Node::connect(
        &plane,
        Hello {
            instance: 2,
            ..hello()
        },
        Snapshot::default(),
    )
    .await;
    let to_node::Message::RemoteUsage(usage) = after.stream.next().await.unwrap() else {
        panic!("a batch came first")
    };
    let expected = [(&used, 5), (&other, 3)].map(|(key, count)| KeyRemoteUsage {
        key: key.number,
        slot: key.slot,
        windows: windows(START, count),
    });
    assert_eq!(usage.keys, expected);
    after.publish().await;
    // The node has not used any of the keys yet.
    assert_eq!(after.elsewhere, []);
}

#[tokio::test]
async fn long_usage_takes_several_messages() {
    let plane = Plane::start().await;
    plane.create_keys("key", 2_500).await;
    let mut before = node(&plane, 1).await;
    let numbers: Vec<_> = before
        .snapshot
        .keys
        .values()
        .map(|key| key.number)
        .collect();
    before
        .count(numbers.iter().map(|&key| admitted(key, 1)).collect())
        .await;
    let mut after = Node::connect(
        &plane,
        Hello {
            instance: 2,
            ..hello()
        },
        Snapshot::default(),
    )
    .await;
    let mut usage = Vec::new();
    for _ in 0..3 {
        let to_node::Message::RemoteUsage(more) = after.stream.next().await.unwrap() else {
            panic!("a batch came")
        };
        assert!(more.keys.len() <= 1_000);
        usage.extend(more.keys.into_iter().map(|key| key.key));
    }
    usage.sort_unstable();
    assert_eq!(usage, {
        let mut numbers = numbers;
        numbers.sort_unstable();
        numbers
    });
    after.publish().await;
}

#[tokio::test]
async fn resuming_node_learns_usage_of_its_keys() {
    let plane = Plane::start().await;
    plane.create_keys("key", 2).await;
    let (mut one, mut two) = (node(&plane, 1).await, node(&plane, 2).await);
    let [both, theirs] = ["key-0", "key-1"].map(|name| one.snapshot.key(name).clone());
    one.count(vec![admitted(both.number, 5)]).await;
    let snapshot = one.snapshot.clone();
    drop(one);
    two.count(vec![admitted(both.number, 7), admitted(theirs.number, 3)])
        .await;

    let mut one = Node::connect(
        &plane,
        Hello {
            instance: 1,
            ..hello()
        },
        snapshot,
    )
    .await;
    assert!(one.welcome.resume);
    one.publish().await;
    let usage = KeyRemoteUsage {
        key: both.number,
        slot: both.slot,
        windows: windows(START, 7),
    };
    assert_eq!(one.usage_of_others().await, [usage]);
    assert!(one.stream.is_silent().await);
}
