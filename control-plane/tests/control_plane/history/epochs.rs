//! Tests nodes of another database, which wait until its epoch is accepted.

use super::{mismatches, open};
use crate::harness::{Client, Plane, START};
use crate::lost::{DAY, enforcement};
use crate::node::{INSTANCE, Node, Stream, complete, former_hello, handle, hello};
use crate::unknown::is_noted;
use latchkey_protocol::{Alive, Hello, from_node, to_node};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time;
use tonic::Code;

async fn state(client: &Client<'_>) -> Value {
    client.get("/v1/nodes").await.at("/data/nodes/0").clone()
}

/// The node waits until its epoch is accepted.
#[tokio::test]
async fn node_of_another_database_waits() {
    let (plane, other) = (Plane::start().await, Plane::start().await);
    let client = plane.log_in().await;
    client.key("ours").await;
    other.create_keys("theirs", 3).await;
    let theirs = Node::ready(&other).await.snapshot;
    let epoch = hex(&theirs.epoch);

    let mut stream = open(&plane, complete(hello(), &theirs)).await;
    let Ok(to_node::Message::Waiting(waiting)) = stream.next().await else {
        panic!("the welcome does not ask the node to wait")
    };
    assert_eq!(waiting.epoch, plane.store().epoch());
    is_not_refreshed(&mut stream).await;
    let answer = client
        .send(
            Method::POST,
            "/v1/keys/generate?wait_ms=0",
            json!({"name": "new"}),
        )
        .await;
    assert_eq!(answer.enforcement(), (1, 0));
    assert_eq!(answer.at("/data/enforcement/complete"), false);
    let shown = state(&client).await;
    assert_eq!(
        (&shown["state"], &shown["epoch"], &shown["connected"]),
        (&json!("waiting"), &json!(epoch), &json!(true))
    );
    assert_eq!(plane.metric("latchkey_nodes_waiting").await, 1.0);
    for path in ["/readyz", "/readyz/stream"] {
        assert_eq!(
            plane
                .request(Method::GET, path)
                .send()
                .await
                .unwrap()
                .status(),
            200,
            "{path}"
        );
    }

    let accepted = client
        .send(Method::POST, "/v1/nodes/accept-epoch", json!({}))
        .await;
    assert_eq!(accepted.at("/data/epochs"), &json!([epoch]));
    let Ok(to_node::Message::Welcome(welcome)) = stream.next().await else {
        panic!("it is not served")
    };
    assert!(!welcome.resume);
    assert_eq!(state(&client).await["state"], "connected");
    let entries = client.get("/v1/audit?action=nodes.accept_epoch").await;
    assert_eq!(
        entries.at("/data/entries/0/target/id"),
        &json!(epoch),
        "{entries:?}"
    );
    // Later nodes of that database neither wait nor raise an alarm.
    let mut node = Node::connect(&plane, hello(), theirs).await;
    node.publish().await;
    assert_eq!(node.snapshot.names(), ["new", "ours"]);
    assert_eq!(mismatches(&plane).await, 0.0);
}

/// Asserts that a waiting node is sent only heartbeats, of which none refreshes its contact.
async fn is_not_refreshed(stream: &mut Stream) {
    stream
        .send(from_node::Message::Alive(Alive {
            sent: 7,
            unix_millis: 0,
        }))
        .await;
    let (end, mut beats) = (time::Instant::now() + Duration::from_millis(2_500), 0);
    while let Ok(message) = time::timeout_at(end, stream.any()).await {
        let to_node::Message::Heartbeat(beat) = message else {
            panic!("it is sent {message:?}")
        };
        assert_eq!((beat.revision, beat.tag.len(), beat.echo), (0, 0, 0));
        beats += 1;
    }
    assert!(beats >= 2, "{beats}");
}

#[tokio::test]
async fn waiting_node_counts_across_a_restart() {
    let (mut plane, other) = (Plane::start().await, Plane::start().await);
    let theirs = Node::ready(&other).await.snapshot;
    let mut stream = open(
        &plane,
        complete(
            Hello {
                staleness_seconds: DAY,
                ..hello()
            },
            &theirs,
        ),
    )
    .await;
    assert!(matches!(
        stream.next().await,
        Ok(to_node::Message::Waiting(_))
    ));
    for noted in 1..=2 {
        plane.clock.advance(1);
        is_noted(&plane, START + noted).await;
    }
    plane.crash().await;
    let client = plane.log_in().await;
    let answer = client
        .send(
            Method::POST,
            "/v1/keys/generate?wait_ms=0",
            json!({"name": "new"}),
        )
        .await;
    assert_eq!(enforcement(&answer), json!([1, 0, 1, false]));
    assert_eq!(state(&client).await["handle"], handle(INSTANCE));
}

/// The node can then try another control plane.
#[tokio::test]
async fn waiting_stream_ends_for_another_attempt() {
    let (plane, other) = (Plane::start().await, Plane::start().await);
    let theirs = Node::ready(&other).await.snapshot;
    let started = Instant::now();
    let mut stream = open(&plane, complete(former_hello(), &theirs)).await;
    assert_eq!(stream.end().await.code(), Code::FailedPrecondition);
    assert!(
        (9..15).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
    let client = plane.log_in().await;
    assert_eq!(
        state(&client).await["state"],
        "waiting",
        "it is shown until it is back or gone"
    );
    let refused = client
        .send(
            Method::POST,
            "/v1/nodes/accept-epoch",
            json!({"epoch": "00ff"}),
        )
        .await;
    refused.refused_by(400, "invalid_request", "epoch");
}

#[tokio::test]
async fn accepted_epoch_survives_a_restart() {
    let (mut plane, other) = (Plane::start().await, Plane::start().await);
    let theirs = Node::ready(&other).await.snapshot;
    let body = json!({"epoch": hex(&theirs.epoch)});
    plane
        .log_in()
        .await
        .send(Method::POST, "/v1/nodes/accept-epoch", body)
        .await;
    plane.restart().await;
    assert!(!Node::connect(&plane, hello(), theirs).await.welcome.resume);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
