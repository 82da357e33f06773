//! Tests refused nodes: one that was served before may still be serving, and counts; unknown ones
//! are only shown.

use crate::harness::{Client, NODE_TOKEN, Plane};
use crate::lost::{becomes, create_unnamed, enforcement, ready, refused};
use crate::node::{Snapshot, Stream, complete, former_hello, handle, hello};
use latchkey_protocol::Hello;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tonic::Code;

const INVALID: &str = "a token that is not valid";

/// Returns the kinds of refusal: a token, the format in Hello, the status, and a part of the
/// reason.
async fn refusals(client: &Client<'_>) -> [(String, Option<u32>, Code, &'static str); 3] {
    let created = client
        .send(
            Method::POST,
            "/v1/node-tokens",
            json!({"name": "core", "node": "core-*"}),
        )
        .await;
    [
        (
            NODE_TOKEN.to_owned(),
            Some(1),
            Code::FailedPrecondition,
            "format",
        ),
        (INVALID.to_owned(), None, Code::Unauthenticated, "token"),
        (
            created.text("/data/node_token"),
            None,
            Code::PermissionDenied,
            "node.id",
        ),
    ]
}

fn with_format(hello: &Hello, format: Option<u32>) -> Hello {
    Hello {
        format: format.unwrap_or(hello.format),
        ..hello.clone()
    }
}

#[tokio::test]
async fn retrying_refused_node_0_1_counts() {
    let plane = Plane::start_with(&["--node-grace-ms=1500"]).await;
    let client = plane.log_in().await;
    for (instance, (token, format, code, reason)) in (1..).zip(refusals(&client).await) {
        let hello = complete(
            Hello {
                instance,
                ..former_hello()
            },
            &Snapshot::default(),
        );
        drop(ready(&plane, hello.clone()).await);
        becomes(&client, 1).await;
        for _ in 0..8 {
            assert_eq!(
                refused(&plane, &token, with_format(&hello, format)).await,
                code
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(
                enforcement(&create_unnamed(&client).await),
                json!([1, 0, 1, false]),
                "{reason}"
            );
        }
        let shown = client.get("/v1/nodes").await;
        assert!(
            shown.text("/data/nodes/0/refused").contains(reason),
            "{shown:?}"
        );
        assert_eq!(shown.at("/data/refused_peers"), &json!([]));
        becomes(&client, 0).await;
    }
}

/// The refusal comes after the grace.
#[tokio::test]
async fn node_0_1_refused_later_counts_again() {
    let plane = Plane::start_with(&["--node-grace-ms=1000"]).await;
    let client = plane.log_in().await;
    let hello = complete(former_hello(), &Snapshot::default());
    drop(ready(&plane, hello.clone()).await);
    for (token, format, code, reason) in refusals(&client).await {
        becomes(&client, 0).await;
        assert_eq!(
            refused(&plane, &token, with_format(&hello, format)).await,
            code
        );
        assert_eq!(
            enforcement(&create_unnamed(&client).await),
            json!([1, 0, 1, false]),
            "{reason}"
        );
        let shown = client.get("/v1/nodes").await;
        assert_eq!(shown.at("/data/refused_peers"), &json!([]), "{reason}");
    }
    becomes(&client, 0).await;
}

#[tokio::test]
async fn refused_node_without_limit_shows_its_reason() {
    let plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    let client = plane.log_in().await;
    for (instance, (token, format, code, reason)) in (1..).zip(refusals(&client).await) {
        let hello = complete(
            Hello {
                instance,
                staleness_seconds: 0,
                ..hello()
            },
            &Snapshot::default(),
        );
        drop(ready(&plane, hello.clone()).await);
        assert_eq!(
            refused(&plane, &token, with_format(&hello, format)).await,
            code
        );
        let shown = client.get("/v1/nodes").await;
        assert!(
            shown.text("/data/nodes/0/refused").contains(reason),
            "{shown:?}"
        );
        assert_eq!(
            enforcement(&create_unnamed(&client).await),
            json!([1, 0, 1, false]),
            "{reason}"
        );
        client
            .delete(&format!("/v1/nodes/{}", handle(instance)))
            .await;
    }
}

#[tokio::test]
async fn refused_strangers_do_not_count() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let stranger = complete(
        Hello {
            instance: 77,
            ..hello()
        },
        &Snapshot::default(),
    );
    for (token, format, code, _) in refusals(&client).await {
        for _ in 0..2 {
            assert_eq!(
                refused(&plane, &token, with_format(&stranger, format)).await,
                code
            );
        }
    }
    let shown = client.get("/v1/nodes").await;
    let peers = shown.at("/data/refused_peers").as_array().unwrap();
    let peers: Vec<_> = peers
        .iter()
        .map(|peer| json!([peer["node_id"], peer["reason"], peer["count"]]))
        .collect();
    assert_eq!(
        peers,
        [
            json!(["edge-1", "format", 2]),
            json!(["edge-1", "token", 4])
        ]
    );
    assert_eq!(shown.number("/data/total"), 0);
    assert_eq!(
        enforcement(&create_unnamed(&client).await),
        json!([0, 0, 0, true])
    );
    for (metric, expected) in [
        ("latchkey_node_format_refusals_total", 2.0),
        ("latchkey_node_token_refusals_total{reason=\"token\"}", 2.0),
        (
            "latchkey_node_token_refusals_total{reason=\"node_id\"}",
            2.0,
        ),
    ] {
        assert_eq!(plane.metric(metric).await, expected, "{metric}");
    }
}

#[tokio::test]
async fn unauthenticated_streams_hide_no_refused_node() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let hello = complete(
        Hello {
            staleness_seconds: 0,
            ..hello()
        },
        &Snapshot::default(),
    );
    drop(ready(&plane, hello.clone()).await);
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(
            Stream::open(&plane, Some(&format!("Bearer {INVALID}")))
                .await
                .unwrap(),
        );
    }
    assert_eq!(refused(&plane, INVALID, hello).await, Code::Unauthenticated);
    let shown = client.get("/v1/nodes").await;
    assert!(
        shown.text("/data/nodes/0/refused").contains("token"),
        "{shown:?}"
    );
    assert_eq!(
        held[0].end().await.code(),
        Code::Unauthenticated,
        "the oldest makes room"
    );
}
