//! Tests deliveries that are requested by a caller.

use super::receiver::Reply;
use super::{delivery, eventually, second, webhook, with_receiver};
use crate::harness::{Answer, Client, START};
use latchkey_model::clock::Clock as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn redeliver(client: &Client<'_>, webhook: &str, id: &str) -> Answer {
    client
        .send(
            Method::POST,
            &format!("{webhook}/deliveries/{id}/redeliver"),
            Value::Null,
        )
        .await
}

/// Waits until the first attempt since `now` has failed, and returns the newest delivery.
async fn failed_once(client: &Client<'_>, webhook: &str, now: i64) -> Value {
    let failed = |answer: &Answer| {
        let newest = &answer.body["data"]["deliveries"][0];
        newest["state"] == "pending"
            && newest["attempts"] == 1
            && second(&newest["next_at"]) > Some(now)
    };
    eventually(client, &format!("{webhook}/deliveries"), failed)
        .await
        .at("/data/deliveries/0")
        .clone()
}

#[tokio::test]
async fn failed_delivery_is_resent_by_hand() {
    let (plane, receiver) = with_receiver().await;
    receiver.answer(Reply::Status(500));
    let client = plane.log_in().await;
    let (path, secret) = webhook(&client, &receiver.url, json!({})).await;
    client.key("CI").await;
    delivery(&client, &path, "pending", 1).await;
    plane.clock.advance(4 * 86_400);
    let client = plane.log_in().await;
    let failed = |answer: &Answer| answer.at("/data/deliveries") != &json!([]);
    let failed = eventually(&client, &format!("{path}/deliveries?state=failed"), failed).await;
    let id = failed.text("/data/deliveries/0/delivery_id");
    let seen = receiver.received().len();

    // A webhook pauses after a failure.
    plane.clock.advance(5);
    // The delivery is retried like a new one, although its event is more than three days old.
    let answer = redeliver(&client, &path, &id).await;
    assert_eq!(
        (answer.status, answer.text("/data/delivery_id")),
        (StatusCode::ACCEPTED, id.clone())
    );
    let again = failed_once(&client, &path, plane.clock.now()).await;
    let wait = second(&again["next_at"]).unwrap() - plane.clock.now();
    assert!((5..=6).contains(&wait), "{again}");
    assert_eq!(second(&again["redelivered_at"]), Some(plane.clock.now()));
    assert_eq!(second(&again["created_at"]), Some(START));
    assert!(
        plane
            .metric("latchkey_webhook_oldest_pending_seconds")
            .await
            .abs()
            < f64::EPSILON
    );
    receiver.answer(Reply::Status(200));
    plane.clock.advance(6);
    delivery(&client, &path, "delivered", 2).await;
    let events = receiver.wait_for(seen + 2).await;
    let (first, last) = (&events[0], &events[seen + 1]);
    assert_eq!((first.id(), &first.body), (last.id(), &last.body));
    assert_eq!(
        last.header("webhook-timestamp"),
        plane.clock.now().to_string()
    );
    last.verify(&secret);

    let entries = client.get("/v1/audit?action=webhook.redeliver").await;
    assert_eq!(
        entries.at("/data/entries/0/after"),
        &json!({"delivery_id": id})
    );
}

#[tokio::test]
async fn delivered_and_pending_deliveries_are_resent() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, &receiver.url, json!({})).await;
    client.key("CI").await;
    let delivered = delivery(&client, &path, "delivered", 1).await;
    let id = delivered["delivery_id"].as_str().unwrap();
    receiver.answer(Reply::Status(500));
    plane.clock.advance(60);
    redeliver(&client, &path, id).await;
    failed_once(&client, &path, plane.clock.now()).await;
    receiver.answer(Reply::Status(200));
    // The webhook pauses for 5 seconds; without the request, the next attempt would be later.
    redeliver(&client, &path, id).await;
    plane.clock.advance(5);
    delivery(&client, &path, "delivered", 1).await;
    let events = receiver.wait_for(3).await;
    assert!(events.iter().all(|events| events.id() == id));
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn deliveries_past_retention_are_not_found() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, &receiver.url, json!({})).await;
    let (other, _) = webhook(&client, &receiver.url, json!({"events": ["key.revoked"]})).await;
    client.key("CI").await;
    let id = delivery(&client, &path, "delivered", 1).await["delivery_id"]
        .as_str()
        .unwrap()
        .to_owned();
    redeliver(&client, &other, &id)
        .await
        .refused(404, "delivery_not_found");
    redeliver(&client, &path, "msg_000000000000")
        .await
        .refused(404, "delivery_not_found");
    // The result is the same whether the deliveries are deleted already or not.
    sqlx::query("UPDATE webhook_deliveries SET done_at = done_at - 604801")
        .execute(&plane.pool().await)
        .await
        .unwrap();
    redeliver(&client, &path, &id)
        .await
        .refused(404, "delivery_not_found");
    client.patch(&path, json!({"active": false})).await;
    sqlx::query("UPDATE webhook_deliveries SET done_at = done_at + 604801")
        .execute(&plane.pool().await)
        .await
        .unwrap();
    redeliver(&client, &path, &id)
        .await
        .refused(409, "webhook_inactive");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn tests_and_redeliveries_share_a_rate_limit() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, &receiver.url, json!({"events": ["key.revoked"]})).await;
    let test = async |path: &str| {
        client
            .send(Method::POST, &format!("{path}/test"), Value::Null)
            .await
    };
    let id = test(&path).await.text("/data/delivery_id");
    for _ in 1..60 {
        assert_eq!(
            redeliver(&client, &path, &id).await.status,
            StatusCode::ACCEPTED
        );
    }
    let refused = redeliver(&client, &path, &id).await;
    refused.refused(429, "too_many_requests");
    assert_eq!(refused.headers["retry-after"], "60");
    test(&path).await.refused(429, "too_many_requests");
    let (other, _) = webhook(&client, &receiver.url, json!({"events": ["key.revoked"]})).await;
    assert_eq!(test(&other).await.status, StatusCode::ACCEPTED);
    plane.clock.advance(60);
    assert_eq!(test(&path).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn deliveries_are_listed_by_state() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, &receiver.url, json!({})).await;
    for name in ["one", "two"] {
        client.key(name).await;
        delivery(&client, &path, "delivered", 1).await;
    }
    let pool = plane.pool().await;
    let states = [("delivered", 2), ("failed", 0), ("pending", 0)];
    let counts = async || {
        let mut counts = Vec::new();
        for (state, _) in states {
            let answer = client
                .get(&format!("{path}/deliveries?state={state}"))
                .await;
            counts.push((
                state,
                answer.at("/data/deliveries").as_array().unwrap().len(),
            ));
        }
        counts
    };
    assert_eq!(counts().await, states);
    sqlx::query("UPDATE webhook_deliveries SET delivered = FALSE WHERE seq = 1")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(
        counts().await,
        [("delivered", 1), ("failed", 1), ("pending", 0)]
    );
    let unknown = client.get(&format!("{path}/deliveries?state=lost")).await;
    unknown.refused_by(400, "invalid_request", "state");
}
