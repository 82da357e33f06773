//! Tests expired keys that get a later expiry.

use super::{DAY, expiring, regenerate, renew, slot, sweep};
use crate::harness::{Plane, START};
use crate::node::Node;
use latchkey_protocol::KeyUsage;
use serde_json::{Value, json};

#[tokio::test]
async fn revived_key_needs_its_name_and_room() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (account, client) = operator.account("acme", json!({"max_keys": 2})).await;
    let (first, _) = expiring(&client, "CI", 60).await;
    plane.clock.advance(60);
    let other = client.key("CI").await;
    let later = json!({"expires_at": START + 6_000});
    renew(&client, &first, later["expires_at"].clone())
        .await
        .refused(409, "name_taken");
    renew(&client, &first, Value::Null)
        .await
        .refused(409, "name_taken");
    regenerate(&client, &first, later.clone())
        .await
        .refused(409, "name_taken");
    // A new name in the same change avoids the conflict of names, but not the limit of keys.
    client.key("CD").await;
    let renamed = json!({"name": "CI 1", "expires_at": null});
    client
        .patch(&format!("/v1/keys/{first}"), renamed.clone())
        .await
        .refused(403, "key_limit");
    client
        .patch(&format!("/v1/keys/{first}"), json!({"name": "CI 1"}))
        .await;
    regenerate(&client, &first, later)
        .await
        .refused(403, "key_limit");
    operator.patch(&account, json!({"max_keys": 3})).await;
    let revived = client.patch(&format!("/v1/keys/{first}"), renamed).await;
    assert_eq!(revived.at("/data/active"), &json!(true));
    // A live key can get the name of an expired key, but not that of another live key.
    client
        .patch(&format!("/v1/keys/{other}"), json!({"name": "CI 1"}))
        .await
        .refused(409, "name_taken");
}

#[tokio::test]
async fn revived_key_returns_to_every_node() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, first) = expiring(&client, "CI", 60).await;
    let (other, _) = expiring(&client, "CD", 60).await;
    let mut node = Node::ready(&plane).await;
    let before = node.snapshot.by(&first).unwrap().clone();
    plane.clock.advance(60 + DAY);
    sweep(&plane, START + 60 + DAY).await;
    assert_eq!(slot(&plane, &id).await, None);
    let until = START + 3 * DAY;
    let client = plane.log_in().await;
    renew(&client, &id, json!(until)).await;
    node.catch_up(plane.store().revision()).await;
    // The key has its old slot, in which nodes still have its counters.
    let held = node.snapshot.by(&first).unwrap();
    assert_eq!(
        (held.slot, held.number, held.expires_at),
        (before.slot, before.number, Some(until))
    );
    assert_eq!(node.snapshot.policies.len(), 1);
    let regenerated = regenerate(&client, &other, json!({"expires_at": null})).await;
    node.catch_up(plane.store().revision()).await;
    assert!(
        node.snapshot
            .by(&regenerated.text("/data/api_key"))
            .is_some()
    );
    assert_eq!(node.snapshot, Node::ready(&plane).await.snapshot);
}

#[tokio::test]
async fn revived_key_gets_an_unused_slot() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, secret) = expiring(&client, "CI", 60).await;
    let mut node = Node::ready(&plane).await;
    let number = node.snapshot.key("CI").number;
    node.count(vec![KeyUsage {
        key: number,
        requests: vec![5],
        ..KeyUsage::default()
    }])
    .await;
    plane.clock.advance(60 + DAY);
    sweep(&plane, START + 60 + DAY).await;
    // A later key takes the slot, and is then revoked.
    plane.clock.advance(3_600);
    let client = plane.log_in().await;
    let later = client.key("later").await;
    assert_eq!(slot(&plane, &later).await, Some(0));
    client.delete(&format!("/v1/keys/{later}")).await;
    plane.clock.advance(3_600);
    renew(&plane.log_in().await, &id, Value::Null).await;
    node.catch_up(plane.store().revision()).await;
    assert_eq!(
        node.snapshot.by(&secret).unwrap().slot,
        1,
        "nodes would take it for superseded in slot 0"
    );
    // Nodes count from zero in the new slot, and their reports are added to the stored usage.
    node.count(vec![KeyUsage {
        key: number,
        requests: vec![2],
        ..KeyUsage::default()
    }])
    .await;
    let usage: i64 =
        sqlx::query_scalar("SELECT SUM(requests) FROM usage_buckets WHERE key_seq = ?")
            .bind(number.cast_signed())
            .fetch_one(&plane.pool().await)
            .await
            .unwrap();
    assert_eq!(usage, 7);
}
