//! Tests that nodes learn whether any key is imported.

use crate::harness::Plane;
use crate::node::{Node, hello};
use reqwest::Method;
use serde_json::json;

/// Checks also that nodes learn when the last one is gone.
#[tokio::test]
async fn nodes_learn_of_first_imported_key() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let mut node = Node::ready(&plane).await;
    let mut reported = async |expected: (bool, bool)| {
        let routes: usize = node
            .publish()
            .await
            .iter()
            .map(|batch| batch.routes.len())
            .sum();
        assert_eq!(
            (node.snapshot.imported(), routes > 0),
            expected,
            "whether there are any, and whether that is news"
        );
    };
    client.key("ours").await;
    reported((false, false)).await;
    let first = client.import("first", "sk-first-0123").await;
    reported((true, true)).await;
    let second = client.import("second", "sk-second-0123").await;
    reported((true, false)).await;
    client.delete(&format!("/v1/keys/{first}?wait_ms=0")).await;
    reported((true, false)).await;
    // The newest secret is a generated one, and the other secret is still imported.
    client.regenerate(&second, 60).await;
    reported((true, false)).await;
    let answer = client
        .send(
            Method::PUT,
            "/v1/routes?wait_ms=0",
            json!({"rules": [], "unmatched": "deny"}),
        )
        .await;
    assert!(
        answer.status.is_success() && answer.at("/data").get("imported").is_none(),
        "{answer:?}"
    );
    reported((true, true)).await;
    client.regenerate(&second, 0).await;
    reported((false, true)).await;
    client.import("third", "sk-third-0123").await;
    reported((true, true)).await;
    assert!(Node::ready(&plane).await.snapshot.imported());
}

#[tokio::test]
async fn returning_node_learns_of_imported_key() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("ours").await;
    let away = Node::ready(&plane).await.snapshot;
    client.import("first", "sk-first-0123").await;
    let mut node = Node::connect(&plane, hello(), away).await;
    assert!(node.welcome.resume);
    node.publish().await;
    assert!(node.snapshot.imported() && node.snapshot.by("sk-first-0123").is_some());
}
