//! Tests deliveries that arrive.

use super::receiver::{Receiver, Reply};
use super::{PRIVATE, delivery, webhook, with_receiver};
use crate::harness::Plane;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn delivery_has_the_standard_form_and_signature() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, secret) = webhook(&client, &receiver.url, json!({})).await;
    let key = client
        .generate(json!({"name": "CI", "expires_at": "2030-01-01T00:00:00Z"}))
        .await;
    let [events] = &receiver.wait_for(1).await[..] else {
        panic!("one is enough")
    };
    events.verify(&secret);
    assert_eq!(events.header("webhook-timestamp"), "1800000000");
    assert_eq!(events.header("content-type"), "application/json");
    assert!(events.header("user-agent").starts_with("latchkey/"));
    let (account, user) = plane.owner().await;
    let expected = json!({"type": "key.created", "timestamp": "2027-01-15T08:00:00Z", "data": {
        "account_id": account, "key_id": key.at("/data/key_id"), "name": "CI", "key_prefix": key.at("/data/key_prefix"),
        "owner": user, "environment": "live", "tier": "basic", "created_at": "2027-01-15T08:00:00Z",
        "expires_at": "2030-01-01T00:00:00Z",
    }});
    assert_eq!(events.json(), expected);

    let delivered = delivery(&client, &path, "delivered", 1).await;
    let expected = json!({"delivery_id": events.id(), "event": "key.created", "state": "delivered", "attempts": 1,
        "created_at": "2027-01-15T08:00:00Z", "done_at": "2027-01-15T08:00:00Z", "next_at": null, "redelivered_at": null,
        "last_status": 204, "last_error": null});
    assert_eq!(delivered, expected);
    let metric = plane
        .metric(r#"latchkey_webhook_deliveries_total{outcome="delivered"}"#)
        .await;
    assert!((metric - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn every_subscriber_gets_its_own_signature() {
    let (plane, one) = with_receiver().await;
    let (two, deaf) = (Receiver::start().await, Receiver::start().await);
    let client = plane.log_in().await;
    let (_, first) = webhook(&client, &one.url, json!({})).await;
    let (_, second) = webhook(&client, &two.url, json!({"events": ["key.created"]})).await;
    webhook(&client, &deaf.url, json!({"events": ["key.revoked"]})).await;
    let (off, _) = webhook(&client, &deaf.url, json!({})).await;
    client.patch(&off, json!({"active": false})).await;
    client.key("CI").await;
    let (one, two) = (
        one.wait_for(1).await.remove(0),
        two.wait_for(1).await.remove(0),
    );
    assert!(first != second && one.id() != two.id());
    one.verify(&first);
    two.verify(&second);
    assert_eq!(one.body, two.body);
    assert!(deaf.received().is_empty());
}

#[tokio::test]
async fn test_delivery_is_sent_on_request() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, secret) = webhook(&client, &receiver.url, json!({"events": ["key.revoked"]})).await;
    let answer = client
        .send(Method::POST, &format!("{path}/test"), Value::Null)
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let events = receiver.wait_for(1).await.remove(0);
    events.verify(&secret);
    assert_eq!(events.id(), answer.text("/data/delivery_id"));
    let (account, id) = (&plane.owner().await.0, path.rsplit('/').next().unwrap());
    assert_eq!(
        (events.kind(), &events.json()["data"]),
        (
            "webhook.test".to_owned(),
            &json!({"account_id": account, "webhook_id": id})
        )
    );

    client.patch(&path, json!({"active": false})).await;
    client
        .send(Method::POST, &format!("{path}/test"), Value::Null)
        .await
        .refused(409, "webhook_inactive");
}

/// The control plane dies during the delivery, and sends the same event after its restart.
#[tokio::test]
async fn interrupted_delivery_is_resent_unchanged() {
    let mut plane = Plane::start_with(PRIVATE).await;
    let receiver = Receiver::answering(Reply::Hang).await;
    let path = {
        let client = plane.log_in().await;
        let (path, _) = webhook(&client, &receiver.url, json!({})).await;
        client.key("CI").await;
        path
    };
    receiver.wait_for(1).await;
    plane.crash().await;
    receiver.answer(Reply::Status(200));
    // Another control plane could still be sending the delivery.
    plane.clock.advance(31);
    let events = receiver.wait_for(2).await;
    assert_eq!(
        (events[0].id(), &events[0].body),
        (events[1].id(), &events[1].body)
    );
    assert_ne!(
        events[0].header("webhook-signature"),
        events[1].header("webhook-signature")
    );
    let client = plane.log_in().await;
    delivery(&client, &path, "delivered", 2).await;
}

#[tokio::test]
async fn pending_delivery_is_sent_after_a_restart() {
    let (mut plane, receiver) = with_receiver().await;
    receiver.answer(Reply::Status(500));
    let path = {
        let client = plane.log_in().await;
        let (path, _) = webhook(&client, &receiver.url, json!({})).await;
        client.key("CI").await;
        delivery(&client, &path, "pending", 1).await;
        path
    };
    receiver.answer(Reply::Status(200));
    plane.restart().await;
    plane.clock.advance(6);
    let events = receiver.wait_for(2).await;
    assert_eq!(events[0].id(), events[1].id());
    let client = plane.log_in().await;
    delivery(&client, &path, "delivered", 2).await;
}

#[tokio::test]
async fn hanging_receiver_delays_no_other() {
    let (plane, lively) = with_receiver().await;
    let client = plane.log_in().await;
    let hanging = Receiver::answering(Reply::Hang).await;
    for _ in 0..4 {
        webhook(&client, &hanging.url, json!({})).await;
    }
    webhook(&client, &lively.url, json!({})).await;
    plane.create_keys("key", 50).await;
    let events = lively.wait_for(50).await;
    assert!(
        hanging.received().len() <= 4,
        "each webhook gets one at a time"
    );
    let mut ids: Vec<_> = events.iter().map(|events| events.id().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}
