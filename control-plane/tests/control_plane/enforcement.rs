//! Tests what responses report about the nodes that have acknowledged a change.

use crate::harness::{Answer, Client, NODE_TOKEN, Plane};
use crate::node::{INSTANCE, Node, PATIENCE, Snapshot, Stream, complete, handle, hello};
use latchkey_protocol::{Ack, Hello, from_node, to_node};
use serde_json::json;
use std::time::{Duration, Instant};
use tonic::Code;

async fn create(client: &Client<'_>, name: &str, wait_ms: u32) -> Answer {
    let path = format!("/v1/keys/generate?wait_ms={wait_ms}");
    Answer::to(
        client
            .request(reqwest::Method::POST, &path)
            .json(&json!({"name": name})),
    )
    .await
}

async fn revoke(client: &Client<'_>, id: &str, wait_ms: u32) -> Answer {
    client
        .delete(&format!("/v1/keys/{id}?wait_ms={wait_ms}"))
        .await
}

/// Loses a node and waits until it no longer counts; then no node that was lost before counts.
async fn a_grace_passes(plane: &Plane, client: &Client<'_>) {
    let before = client.get("/v1/nodes").await.number("/data/total");
    drop(
        Node::connect(
            plane,
            Hello {
                instance: 99,
                ..hello()
            },
            Snapshot::default(),
        )
        .await,
    );
    let started = Instant::now();
    while client.get("/v1/nodes").await.number("/data/total") > before {
        assert!(started.elapsed() < PATIENCE, "a lost node is not given up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn change_returns_once_every_node_acknowledged() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let mut node = Node::ready(&plane).await;
    let started = Instant::now();
    let (answer, ()) = tokio::join!(revoke(&client, &id, 20_000), async {
        let batches = node.publish().await;
        assert_eq!((batches.len(), batches[0].removed_keys.len()), (1, 32));
    });
    assert_eq!(answer.enforcement(), (1, 1));
    assert_eq!(
        answer.number("/data/enforcement/revision"),
        node.snapshot.revision
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(plane.metric("latchkey_enforcement_seconds_count").await >= 1.0);
}

#[tokio::test]
async fn unacknowledging_node_is_reported() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let mut node = Node::ready(&plane).await;
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
    let (answer, _) = tokio::join!(revoke(&client, &id, 200), other.publish());
    assert_eq!(answer.enforcement(), (2, 1));
    assert!(answer.number("/data/enforcement/elapsed_ms") >= 200);

    // A repeated call waits again, for the same revision.
    let (again, _) = tokio::join!(revoke(&client, &id, 20_000), node.publish());
    assert_eq!(again.enforcement(), (2, 2));
    assert_eq!(
        again.at("/data/enforcement/revision"),
        answer.at("/data/enforcement/revision")
    );
}

#[tokio::test]
async fn partial_snapshot_is_no_acknowledgement() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    plane.create_keys("some", 10).await;
    let mut node = Node::connect(&plane, hello(), Snapshot::default()).await;
    assert_eq!(node.take().await.revision, 0);
    // The node still serves from another control plane's snapshot, with higher revision numbers.
    node.stream
        .send(from_node::Message::Ack(Ack {
            sequence: 1,
            revision: 500,
        }))
        .await;
    assert_eq!(create(&client, "CI", 200).await.enforcement(), (1, 0));
    node.catch_up(plane.store().revision()).await;
    assert_eq!(create(&client, "another", 0).await.enforcement(), (1, 0));
}

#[tokio::test]
async fn lost_node_counts_until_its_grace_ends() {
    let plane = Plane::start_with(&["--node-grace-ms=1500"]).await;
    let client = plane.log_in().await;
    let node = Node::ready(&plane).await;
    let lost = Instant::now();
    drop(node);
    assert_eq!(create(&client, "early", 100).await.enforcement(), (1, 0));
    let answer = create(&client, "late", 20_000).await;
    assert_eq!(answer.enforcement(), (0, 0));
    assert!(
        lost.elapsed() >= Duration::from_millis(1_500),
        "it was given up early"
    );
    assert_eq!(client.get("/v1/nodes").await.number("/data/total"), 0);
}

#[tokio::test]
async fn returning_node_is_not_given_up() {
    let plane = Plane::start_with(&["--node-grace-ms=400"]).await;
    let client = plane.log_in().await;
    let snapshot = Node::ready(&plane).await.snapshot;
    let mut node = Node::connect(&plane, hello(), snapshot).await;
    node.publish().await;
    a_grace_passes(&plane, &client).await;
    let (answer, _) = tokio::join!(create(&client, "CI", 20_000), node.publish());
    assert_eq!(answer.enforcement(), (1, 1));
}

#[tokio::test]
async fn newer_stream_replaces_the_older_one() {
    let plane = Plane::start_with(&["--node-grace-ms=100"]).await;
    let client = plane.log_in().await;
    let mut older = Node::ready(&plane).await;
    let mut newer = Node::ready(&plane).await;
    assert_eq!(older.stream.end().await.code(), Code::Aborted);
    drop(older);
    a_grace_passes(&plane, &client).await;
    let nodes = client.get("/v1/nodes").await;
    assert_eq!(nodes.number("/data/total"), 1);
    assert_eq!(nodes.at("/data/nodes/0/connected"), true);
    let (answer, _) = tokio::join!(create(&client, "CI", 20_000), newer.publish());
    assert_eq!(answer.enforcement(), (1, 1));
}

#[tokio::test]
async fn a_node_counts_across_a_restart() {
    let mut plane = Plane::start().await;
    let node = Node::ready(&plane).await;
    plane.restart().await;
    let client = plane.log_in().await;
    assert_eq!(create(&client, "CI", 100).await.enforcement(), (1, 0));
    let nodes = client.get("/v1/nodes").await;
    assert_eq!(nodes.at("/data/nodes/0/connected"), false);

    let mut node = Node::connect(&plane, hello(), node.snapshot).await;
    node.catch_up(plane.store().revision()).await;
    let (answer, _) = tokio::join!(create(&client, "another", 20_000), node.publish());
    assert_eq!(answer.enforcement(), (1, 1));
}

#[tokio::test]
async fn nodes_are_listed_with_their_revision() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let mut node = Node::ready(&plane).await;
    let (acknowledged, _) = tokio::join!(create(&client, "one", 20_000), node.publish());
    assert_eq!(acknowledged.enforcement(), (1, 1));
    create(&client, "two", 0).await;
    let answer = client.get("/v1/nodes").await;
    let remote = answer.text("/data/nodes/0/remote");
    assert!(remote.starts_with("127.0.0.1:"), "{remote}");
    let expected = json!({
        "nodes": [{
            "handle": handle(INSTANCE), "node_id": "edge-1", "version": "0.2.0", "protocol": 1,
            "state": "connected", "connected": true, "since": "2027-01-15T08:00:00Z", "revision": 2, "lag": 1, "staleness_seconds": 1,
            "counts_for_seconds": 10, "remote": remote,
        }],
        "total": 1,
        "revision": 3,
        "epoch": answer.at("/data/epoch"),
        "refused_peers": [],
    });
    assert_eq!(answer.at("/data"), &expected);
    assert!((plane.metric("latchkey_nodes_connected").await - 1.0).abs() < f64::EPSILON);
    drop(node);
}

#[tokio::test]
async fn unsaved_node_counts() {
    let plane = Plane::start_with(&["--node-grace-ms=1000"]).await;
    let client = plane.log_in().await;
    let pool = plane.pool().await;
    let fails = async |operation: &str| {
        let trigger = format!(
            "CREATE TRIGGER fails BEFORE {operation} ON nodes BEGIN SELECT RAISE(FAIL, 'full'); END"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(trigger))
            .execute(&pool)
            .await
            .unwrap();
    };
    let mends = async || {
        sqlx::query("DROP TRIGGER fails")
            .execute(&pool)
            .await
            .unwrap()
    };
    let written = async |count: i64| {
        let started = Instant::now();
        while sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM nodes")
            .fetch_one(&pool)
            .await
            .unwrap()
            != count
        {
            assert!(started.elapsed() < PATIENCE, "the table does not follow");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };

    fails("INSERT").await;
    let mut node = Node::ready(&plane).await;
    let (answer, _) = tokio::join!(create(&client, "one", 20_000), node.publish());
    assert_eq!(answer.enforcement(), (1, 1));
    assert_eq!(create(&client, "two", 0).await.enforcement(), (1, 0));
    mends().await;
    written(1).await;

    fails("DELETE").await;
    drop(node);
    assert_eq!(create(&client, "three", 20_000).await.enforcement(), (0, 0));
    mends().await;
    written(0).await;
}

#[tokio::test]
async fn saved_node_connects_without_a_write() {
    let plane = Plane::start().await;
    let snapshot = Node::ready(&plane).await.snapshot;
    let mut writer = plane
        .pool()
        .await
        .begin_with("BEGIN IMMEDIATE")
        .await
        .unwrap();
    let started = Instant::now();
    let mut node = Node::connect(&plane, hello(), snapshot).await;
    node.publish().await;
    assert!(
        started.elapsed() < Duration::from_millis(900),
        "it waited for the writer"
    );
    sqlx::query("SELECT 1").execute(&mut *writer).await.unwrap();
}

/// The stream ends when the control plane stops.
#[tokio::test]
async fn stream_waiting_for_store_stops() {
    let plane = Plane::start().await;
    let pool = plane.pool().await;
    let authorization = format!("Bearer {NODE_TOKEN}");
    let [mut older, mut newer] = [
        Stream::open(&plane, Some(&authorization)).await.unwrap(),
        Stream::open(&plane, Some(&authorization)).await.unwrap(),
    ];
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let started = Instant::now();
    older
        .send(from_node::Message::Hello(complete(
            hello(),
            &Snapshot::default(),
        )))
        .await;
    while plane.metric("latchkey_nodes_connected").await < 1.0 {}
    newer
        .send(from_node::Message::Hello(complete(
            hello(),
            &Snapshot::default(),
        )))
        .await;
    assert_eq!(older.end().await.code(), Code::Aborted);
    assert!(
        started.elapsed() < Duration::from_millis(900),
        "it waited for the writer"
    );
    // The node is served once it is recorded that nodes unknown to a later start may exist. Until
    // then, the stream is held.
    assert_eq!(newer.heartbeat().await, 0);
    assert!(matches!(
        newer.next().await,
        Ok(to_node::Message::Welcome(_))
    ));
    assert!(
        started.elapsed() > Duration::from_secs(5),
        "a start would not count it"
    );
    drop(writer);
}

#[tokio::test]
async fn waiting_call_is_answered_on_stop() {
    let mut plane = Plane::start().await;
    let request = plane
        .log_in()
        .await
        .request(reqwest::Method::POST, "/v1/keys/generate?wait_ms=30000");
    let node = Node::ready(&plane).await;
    let mut revisions = plane.store().watch_head();
    let waiting = tokio::spawn(Answer::to(request.json(&json!({"name": "CI"}))));
    revisions.changed().await.unwrap();
    let started = Instant::now();
    plane.take().shutdown().await;
    assert_eq!(waiting.await.unwrap().enforcement(), (1, 0));
    assert!(started.elapsed() < Duration::from_secs(4), "it was cut off");
    drop(node);
}
