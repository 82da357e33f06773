//! Tests which events receivers are sent, and which they are not.

use super::receiver::Received;
use super::{all_sent, webhook, with_receiver};
use crate::harness::{START, plain_key};
use crate::node::Node;
use latchkey_model::clock::Clock as _;
use latchkey_policy::key::Environment;
use latchkey_protocol::{KeyUsage, LastUse};
use latchkey_store::{NewKey, StoreError};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Returns the types of events with their keys.
fn kinds_and_names(received: &[Received]) -> BTreeSet<(String, String)> {
    let kind_and_name = |received: &Received| {
        (
            received.kind(),
            received.json()["data"]["name"].as_str().unwrap().to_owned(),
        )
    };
    received.iter().map(kind_and_name).collect()
}

fn pairs(kind: &str, names: &[&str]) -> BTreeSet<(String, String)> {
    names
        .iter()
        .map(|name| (kind.to_owned(), (*name).to_owned()))
        .collect()
}

#[tokio::test]
async fn created_and_revoked_keys_send_events() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    webhook(&client, &receiver.url, json!({})).await;
    let id = client.key("one").await;
    all_sent(&plane).await;
    plane.clock.advance(60);
    client.delete(&format!("/v1/keys/{id}")).await;
    // A second revocation changes nothing.
    client.delete(&format!("/v1/keys/{id}")).await;
    let made = plane.create_keys("batch", 3).await;
    let ids: Vec<_> = made.into_iter().map(|(_, id)| id).collect();
    let account = &plane.owner().await.0;
    plane
        .store()
        .revoke_keys(
            account,
            &[ids[0].clone(), ids[2].clone(), id.clone()],
            START,
        )
        .await
        .unwrap();
    let received = receiver.wait_for(7).await;
    let mut expected = pairs("key.created", &["one", "batch-0", "batch-1", "batch-2"]);
    expected.extend(pairs("key.revoked", &["one", "batch-0", "batch-2"]));
    assert_eq!((kinds_and_names(&received), received.len()), (expected, 7));
    let revoked = received
        .iter()
        .find(|event| event.kind() == "key.revoked" && event.json()["data"]["name"] == "one");
    let revoked = revoked.unwrap().json();
    assert_eq!(
        (&revoked["timestamp"], &revoked["data"]["key_id"]),
        (&json!("2027-01-15T08:01:00Z"), &json!(id))
    );
    assert_eq!(revoked["data"]["revoked_at"], "2027-01-15T08:01:00Z");
}

#[tokio::test]
async fn rolled_back_change_sends_no_event() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    webhook(&client, &receiver.url, json!({})).await;
    let made = plane.create_keys("taken", 1).await;
    let (account, user) = plane.owner().await;
    let new = |name: &str| {
        NewKey::new(
            account,
            user,
            name,
            &plain_key(),
            "basic",
            Environment::Live,
        )
    };
    let error = plane
        .store()
        .create_keys(&[new("free"), new("taken-0")], START)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NameTaken));
    let ids = [made[0].1.clone(), "key_unknown".to_owned()];
    let error = plane
        .store()
        .revoke_keys(account, &ids, START)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::KeyNotFound));
    client.key("last").await;
    let received = receiver.wait_for(2).await;
    assert_eq!(
        kinds_and_names(&received),
        pairs("key.created", &["taken-0", "last"])
    );
    let pool = plane.pool().await;
    let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(written, 2);
}

#[tokio::test]
async fn reached_limit_is_announced_hourly() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    webhook(
        &client,
        &receiver.url,
        json!({"events": ["key.limit_reached"]}),
    )
    .await;
    client.key("one").await;
    client.key("two").await;
    let mut node = Node::ready(&plane).await;
    let [one, two] = ["one", "two"].map(|name| node.snapshot.key(name).number);
    let used = |key: u64, limited: u64| KeyUsage {
        key,
        requests: vec![5, 0, 0, 0, 0, 0, 0, limited],
        ..KeyUsage::default()
    };
    node.count(vec![used(one, 0)]).await;
    node.count(vec![used(one, 1), used(two, 0)]).await;
    node.count(vec![used(one, 7)]).await;
    let received = receiver.wait_for(1).await;
    assert_eq!(
        kinds_and_names(&received),
        pairs("key.limit_reached", &["one"])
    );
    assert_eq!(received[0].json()["data"]["hour"], "2027-01-15T08:00:00Z");

    all_sent(&plane).await;
    plane.clock.advance(3_600);
    node.count(vec![used(one, 8), used(two, 3)]).await;
    node.count(vec![used(one, 9), used(two, 4)]).await;
    let received = receiver.wait_for(3).await;
    assert_eq!(
        kinds_and_names(&received[1..]),
        pairs("key.limit_reached", &["one", "two"])
    );
    let pool = plane.pool().await;
    let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(written, 3);
}

#[tokio::test]
async fn old_secrets_use_is_announced_daily() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    webhook(
        &client,
        &receiver.url,
        json!({"events": ["key.old_secret_used"]}),
    )
    .await;
    let id = client.key("CI").await;
    let mut node = Node::ready(&plane).await;
    let key = node.snapshot.key("CI").number;
    let mut count = 0;
    let mut use_secret = async |node: &mut Node, secret| {
        count += 1;
        let last_uses = vec![LastUse {
            secret,
            at: plane.clock.now(),
            ip: vec![192, 0, 2, 1],
        }];
        node.count(vec![KeyUsage {
            key,
            requests: vec![count],
            last_uses,
            ..KeyUsage::default()
        }])
        .await;
    };
    // The key has only one secret.
    use_secret(&mut node, 1).await;
    plane.clock.advance(60);
    let regenerate = json!({"overlap_seconds": 200_000});
    client
        .send(
            Method::POST,
            &format!("/v1/keys/{id}/regenerate?wait_ms=0"),
            regenerate,
        )
        .await;
    node.catch_up(plane.store().revision()).await;
    use_secret(&mut node, 2).await;
    use_secret(&mut node, 1).await;
    plane.clock.advance(3_600);
    use_secret(&mut node, 1).await;
    let received = receiver.wait_for(1).await;
    assert_eq!(
        kinds_and_names(&received),
        pairs("key.old_secret_used", &["CI"])
    );
    let old = &received[0].json()["data"]["old_secret"];
    assert_eq!(
        (&old["last_used_at"], &old["last_used_ip"]),
        (&json!("2027-01-15T08:01:00Z"), &json!("192.0.2.1"))
    );
    assert_eq!(old["ends_at"], "2027-01-17T15:34:20Z");
    all_sent(&plane).await;
    plane.clock.advance(24 * 3_600);
    use_secret(&mut node, 1).await;
    use_secret(&mut node, 1).await;
    assert_eq!(receiver.wait_for(2).await.len(), 2);
    let pool = plane.pool().await;
    let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(written, 2);
}

#[tokio::test]
async fn events_contain_no_secret() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, secret) = webhook(&client, &receiver.url, json!({})).await;
    let key = client
        .generate(json!({"name": "CI", "expires_at": START + 3_600}))
        .await;
    let api_key = key.text("/data/api_key");
    plane.store().announce_expiries(START).await.unwrap();
    client
        .delete(&format!("/v1/keys/{}", key.text("/data/key_id")))
        .await;
    let received = receiver.wait_for(3).await;
    let pool = plane.pool().await;
    let query = sqlx::query_scalar("SELECT lower(hex(digest)) FROM keys");
    let digest: String = query.fetch_one(&pool).await.unwrap();
    let shown = client.get(&format!("{path}/deliveries")).await.body;
    let bodies = received
        .iter()
        .map(|event| Value::from(event.body.clone()).to_string());
    for text in bodies.chain([shown.to_string(), client.get(&path).await.body.to_string()]) {
        for secret in [
            &api_key,
            &secret,
            &secret["whsec_".len()..].to_owned(),
            &digest,
        ] {
            assert!(!text.contains(secret.as_str()), "a secret is in {text}");
        }
    }
}
