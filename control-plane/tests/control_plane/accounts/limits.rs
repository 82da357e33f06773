//! Tests that no key exceeds the limits of its account's tier.

use crate::harness::{Client, Plane, START};
use crate::node::Node;
use latchkey_policy::limit::Window;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Returns the limits that a node has for a key.
async fn limits(node: &mut Node, plane: &Plane, name: &str) -> [Option<u32>; 2] {
    node.catch_up(plane.store().revision()).await;
    [Window::Minute, Window::Hour].map(|window| node.snapshot.policy(name).limits.get(window))
}

async fn exceeded(client: &Client<'_>, key: Value, field: &str) {
    let refused = client.generate(key).await;
    refused.refused_by(403, "tier_exceeded", field);
    assert!(refused.text("/error").contains("`basic`"), "{refused:?}");
}

#[tokio::test]
async fn key_never_exceeds_its_accounts_tier() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (path, other) = operator.account("other", json!({"tier": "basic"})).await;
    exceeded(&other, json!({"name": "x", "tier": "pro"}), "tier").await;
    exceeded(
        &other,
        json!({"name": "x", "limits": {"minute": 101}}),
        "limits.minute",
    )
    .await;
    exceeded(
        &other,
        json!({"name": "x", "tier": "free", "limits": {"minute": 101}}),
        "limits.minute",
    )
    .await;
    other
        .generate(json!({"name": "x", "tier": "gold"}))
        .await
        .refused_by(400, "invalid_request", "tier");
    let own = json!({"name": "own", "tier": "free", "limits": {"minute": 100, "hour": 1_000_000}});
    let own = other.generate(own).await;
    assert_eq!(
        own.at("/data/limits"),
        &json!({"minute": 100, "hour": 1_000_000})
    );
    let own = format!("/v1/keys/{}", own.text("/data/key_id"));
    other
        .patch(&own, json!({"limits": {"minute": 101}}))
        .await
        .refused_by(403, "tier_exceeded", "limits.minute");
    for change in [
        json!({"limits": {"minute": 50, "day": 5}}),
        json!({"limits": {"minute": 100}}),
        json!({"name": "y"}),
    ] {
        assert_eq!(other.patch(&own, change).await.status, StatusCode::OK);
    }
    let widest =
        json!({"name": "x", "tier": "enterprise", "limits": {"minute": 4_000_000_000_u32}});
    assert_eq!(
        operator.generate(widest).await.status,
        StatusCode::CREATED,
        "the operator is bound by none"
    );
    operator.patch(&path, json!({"tier": "pro"})).await;
    assert_eq!(
        other
            .generate(json!({"name": "x"}))
            .await
            .number("/data/rate_limit"),
        1_000
    );
}

#[tokio::test]
async fn removed_tier_leaves_the_accounts_keys() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (path, other) = operator.account("other", json!({"tier": "pro"})).await;
    let pro = other.key("pro").await;
    other
        .generate(json!({"name": "own", "limits": {"minute": 500, "hour": 7}}))
        .await;
    operator
        .generate(json!({"name": "operators", "tier": "pro"}))
        .await;
    let mut node = Node::ready(&plane).await;
    assert_eq!(limits(&mut node, &plane, "pro").await, [Some(1_000), None]);
    let (answer, batches) = tokio::join!(
        operator.patch(&path, json!({"tier": "basic"})),
        node.publish()
    );
    assert_eq!(answer.enforcement(), (1, 1));
    assert!(
        batches.iter().all(|batch| batch.keys.is_empty()),
        "{batches:?}"
    );
    assert_eq!(limits(&mut node, &plane, "pro").await, [Some(100), None]);
    assert_eq!(limits(&mut node, &plane, "own").await, [Some(100), Some(7)]);
    assert_eq!(
        limits(&mut node, &plane, "operators").await,
        [Some(1_000), None]
    );
    let shown = other.get(&format!("/v1/keys/{pro}")).await;
    assert_eq!(
        (shown.text("/data/tier"), shown.number("/data/rate_limit")),
        ("pro".to_owned(), 100)
    );

    let mut tiers = operator.get("/v1/tiers").await.at("/data").clone();
    tiers["tiers"][1]["limits"] = json!({"minute": 60, "hour": 5});
    tokio::join!(operator.put("/v1/tiers", tiers), node.publish());
    assert_eq!(limits(&mut node, &plane, "pro").await, [Some(60), Some(5)]);
    assert_eq!(limits(&mut node, &plane, "own").await, [Some(60), Some(5)]);
    tokio::join!(
        operator.patch(&path, json!({"tier": "enterprise"})),
        node.publish()
    );
    assert_eq!(limits(&mut node, &plane, "pro").await, [Some(1_000), None]);
    assert_eq!(limits(&mut node, &plane, "own").await, [Some(500), Some(7)]);
}

#[tokio::test]
async fn batch_is_bounded_like_single_keys() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let own = format!("/v1/accounts/{}", plane.owner().await.0);
    plane.create_keys("CI", 3).await;
    operator.patch(&own, json!({"max_keys": 4})).await;
    let secrets = [crate::harness::plain_key(), crate::harness::plain_key()];
    let (account, user) = plane.owner().await;
    let environment = latchkey_policy::key::Environment::Live;
    let keys = secrets.each_ref().map(|secret| {
        let name = secret.masked();
        latchkey_store::NewKey::new(account, user, &name, secret, "basic", environment)
    });
    assert!(plane.store().create_keys(&keys, START).await.is_err());
    assert_eq!(operator.get(&own).await.number("/data/keys"), 3);
    plane.store().create_keys(&keys[..1], START).await.unwrap();
    assert_eq!(operator.get(&own).await.number("/data/keys"), 4);
}
