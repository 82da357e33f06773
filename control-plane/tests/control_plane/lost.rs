//! Tests lost nodes: how long they count, and what ends that.

mod restarts;

use crate::harness::{Answer, Client, NODE_TOKEN, Plane};
use crate::node::{
    INSTANCE, Node, PATIENCE, Snapshot, Stream, complete, former_hello, handle, hello,
};
use latchkey_protocol::{Goodbye, Hello, from_node};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tonic::Code;

pub(crate) const DAY: u64 = 86_400;

pub(crate) async fn create(client: &Client<'_>, name: &str, wait_ms: u32) -> Answer {
    let answer = client
        .send(
            Method::POST,
            &format!("/v1/keys/generate?wait_ms={wait_ms}"),
            json!({"name": name}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer
}

/// Returns `[nodes, acknowledged, lost, complete]` of a response's enforcement.
pub(crate) fn enforcement(answer: &Answer) -> Value {
    let enforcement = answer.at("/data/enforcement");
    json!([
        enforcement["nodes"],
        enforcement["acknowledged"],
        enforcement["lost"],
        enforcement["complete"]
    ])
}

pub(crate) async fn ready(plane: &Plane, hello: Hello) -> Node {
    let mut node = Node::connect(plane, hello, Snapshot::default()).await;
    node.publish().await;
    node
}

pub(crate) async fn total(client: &Client<'_>) -> u64 {
    client.get("/v1/nodes").await.number("/data/total")
}

pub(crate) async fn becomes(client: &Client<'_>, expected: u64) {
    let started = Instant::now();
    while total(client).await != expected {
        assert!(
            started.elapsed() < PATIENCE,
            "there are not {expected} nodes"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a node is shown as lost.
pub(crate) async fn is_lost(client: &Client<'_>, handle: &str) {
    let started = Instant::now();
    loop {
        let nodes = client.get("/v1/nodes").await;
        let nodes = nodes.at("/data/nodes").as_array().unwrap().clone();
        if nodes
            .iter()
            .any(|node| node["handle"] == handle && node["state"] == "lost")
        {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{handle} is not lost");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn lost_node_counts_until_its_staleness_limit() {
    let plane = Plane::start_with(&["--node-grace-ms=300"]).await;
    let client = plane.log_in().await;
    let node = ready(
        &plane,
        Hello {
            staleness_seconds: 3,
            ..hello()
        },
    )
    .await;
    let lost = Instant::now();
    drop(node);
    is_lost(&client, &handle(INSTANCE)).await;
    // In the grace period a call waits for the node. After that it counts, but no call waits.
    let started = Instant::now();
    assert_eq!(
        enforcement(&create(&client, "one", 20_000).await),
        json!([1, 0, 1, false])
    );
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let started = Instant::now();
    assert_eq!(
        enforcement(&create(&client, "two", 20_000).await),
        json!([1, 0, 1, false])
    );
    assert!(
        started.elapsed() < Duration::from_millis(250),
        "it waited {:?}",
        started.elapsed()
    );
    assert_eq!(plane.metric("latchkey_nodes_lost").await, 1.0);
    becomes(&client, 0).await;
    assert!(
        lost.elapsed() >= Duration::from_secs(3),
        "{:?}",
        lost.elapsed()
    );
    assert_eq!(
        enforcement(&create(&client, "three", 0).await),
        json!([0, 0, 0, true])
    );
}

/// A node that comes back no longer counts either.
#[tokio::test]
async fn node_without_limit_counts_until_forgotten() {
    let plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    let client = plane.log_in().await;
    let endless = || Hello {
        staleness_seconds: 0,
        ..hello()
    };
    let node = ready(&plane, endless()).await;
    let path = format!("/v1/nodes/{}", handle(INSTANCE));
    client.delete(&path).await.refused(409, "node_connected");
    let held = node.snapshot.clone();
    drop(node);
    is_lost(&client, &handle(INSTANCE)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(
        enforcement(&create(&client, "one", 0).await),
        json!([1, 0, 1, false])
    );

    let mut node = Node::connect(&plane, endless(), held).await;
    node.publish().await;
    let (answer, _) = tokio::join!(create(&client, "two", 20_000), node.publish());
    assert_eq!(enforcement(&answer), json!([1, 1, 0, true]));
    drop(node);
    is_lost(&client, &handle(INSTANCE)).await;
    let forgotten = client.delete(&path).await;
    assert_eq!(forgotten.at("/data/forgotten"), &json!([handle(INSTANCE)]));
    assert_eq!(
        enforcement(&create(&client, "three", 0).await),
        json!([0, 0, 0, true])
    );
    client.delete(&path).await.refused(404, "node_not_found");
    let entries = client.get("/v1/audit?action=nodes.forget").await;
    assert_eq!(
        entries.at("/data/entries/0/target/id"),
        &json!(handle(INSTANCE)),
        "{entries:?}"
    );
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM nodes")
        .fetch_one(&plane.pool().await)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn nodes_lost_before_a_time_are_forgotten() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for instance in [1, 2] {
        drop(
            ready(
                &plane,
                Hello {
                    instance,
                    staleness_seconds: DAY,
                    ..hello()
                },
            )
            .await,
        );
        is_lost(&client, &handle(instance)).await;
        plane.clock.advance(60);
    }
    let body = json!({"lost_before": "2027-01-15T08:00:30Z"});
    let forgotten = client.send(Method::POST, "/v1/nodes/forget", body).await;
    assert_eq!(forgotten.at("/data/forgotten"), &json!([handle(1)]));
    assert_eq!(total(&client).await, 1);
    let refused = client
        .send(
            Method::POST,
            "/v1/nodes/forget",
            json!({"lost_before": "yesterday"}),
        )
        .await;
    refused.refused_by(400, "invalid_request", "lost_before");
}

/// A node of version 0.1 reports no limit, so it counts for the grace unless a limit is required.
#[tokio::test]
async fn lost_node_0_1_counts_for_grace() {
    for (flags, left) in [
        (&["--node-grace-ms=100"][..], 0),
        (&["--node-grace-ms=100", "--require-staleness"], 1),
    ] {
        let plane = Plane::start_with(flags).await;
        let client = plane.log_in().await;
        drop(ready(&plane, former_hello()).await);
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        assert_eq!(total(&client).await, left, "{flags:?}");
    }
}

#[tokio::test]
async fn node_that_says_goodbye_is_forgotten() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let node = ready(
        &plane,
        Hello {
            staleness_seconds: 0,
            ..hello()
        },
    )
    .await;
    node.stream
        .send(from_node::Message::Goodbye(Goodbye {}))
        .await;
    becomes(&client, 0).await;
    drop(node);
    assert_eq!(
        enforcement(&create(&client, "one", 0).await),
        json!([0, 0, 0, true])
    );
}

#[tokio::test]
async fn acknowledgements_of_a_lost_node_remain() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let mut node = ready(
        &plane,
        Hello {
            staleness_seconds: DAY,
            ..hello()
        },
    )
    .await;
    let revoke = format!("/v1/keys/{id}?wait_ms=20000");
    let (answer, _) = tokio::join!(client.delete(&revoke), node.publish());
    assert_eq!(enforcement(&answer), json!([1, 1, 0, true]));
    drop(node);
    is_lost(&client, &handle(INSTANCE)).await;
    assert_eq!(
        enforcement(&client.delete(&revoke).await),
        json!([1, 1, 0, true])
    );
    assert_eq!(
        enforcement(&create(&client, "new", 0).await),
        json!([1, 0, 1, false])
    );
}

/// Checks also that another secret is another node.
#[tokio::test]
async fn newest_stream_replaces_the_nodes_former_one() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let mut former = ready(&plane, hello()).await;
    let same_id = ready(
        &plane,
        Hello {
            instance: 2,
            ..hello()
        },
    )
    .await;
    assert_eq!(total(&client).await, 2, "it is counted in addition");
    let newest = ready(&plane, hello()).await;
    assert_eq!(former.stream.end().await.code(), Code::Aborted);
    assert_eq!(total(&client).await, 2);
    // A rogue node with the node id but without the secret does not replace the node.
    let rogue = ready(
        &plane,
        Hello {
            snapshot_secret: vec![9; 16],
            ..hello()
        },
    )
    .await;
    assert_eq!(total(&client).await, 3);
    let answer = create(&client, "CI", 100).await;
    assert_eq!(enforcement(&answer), json!([3, 0, 0, false]));
    drop((newest, same_id, rogue));
}

/// Returns the status with which a stream with this token and Hello is refused.
pub(crate) async fn refused(plane: &Plane, token: &str, hello: Hello) -> Code {
    let mut stream = Stream::open(plane, Some(&format!("Bearer {token}")))
        .await
        .unwrap();
    stream.send(from_node::Message::Hello(hello)).await;
    stream.end().await.code()
}

/// Creates a key with a new name.
pub(crate) async fn create_unnamed(client: &Client<'_>) -> Answer {
    let name = format!("key {}", client.total().await);
    create(client, &name, 0).await
}

#[tokio::test]
async fn nodes_are_bounded_known_ones_admitted() {
    let plane = Plane::start_with(&["--max-nodes=2"]).await;
    let first = ready(&plane, hello()).await;
    let other = ready(
        &plane,
        Hello {
            instance: 2,
            ..hello()
        },
    )
    .await;
    let third = complete(
        Hello {
            instance: 3,
            ..hello()
        },
        &Snapshot::default(),
    );
    assert_eq!(
        refused(&plane, NODE_TOKEN, third).await,
        Code::ResourceExhausted
    );
    assert!(
        Node::connect(&plane, hello(), first.snapshot.clone())
            .await
            .welcome
            .resume
    );
    let shown = plane.log_in().await.get("/v1/nodes").await;
    assert_eq!(shown.text("/data/refused_peers/0/reason"), "nodes");
    assert_eq!(
        plane.metric("latchkey_node_limit_refusals_total").await,
        1.0
    );
    drop((first, other));
}
