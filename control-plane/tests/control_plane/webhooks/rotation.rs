//! Tests the rotation of secrets.

use super::{webhook, with_receiver};
use crate::harness::{Answer, Client, Plane};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

async fn rotate(client: &Client<'_>, path: &str, body: Value) -> Answer {
    client
        .send(Method::POST, &format!("{path}/rotate-secret"), body)
        .await
}

/// Rotates the secret, and returns the new one.
async fn rotated(client: &Client<'_>, path: &str, body: Value) -> String {
    let answer = rotate(client, path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.text("/data/secret")
}

#[tokio::test]
async fn deliveries_have_two_signatures_during_the_overlap() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, old) = webhook(&client, &receiver.url, json!({})).await;
    plane.clock.advance(60);
    let answer = rotate(&client, &path, json!({"overlap_seconds": 600})).await;
    assert_eq!(
        answer.text("/data/old_secret_ends_at"),
        "2027-01-15T08:11:00Z"
    );
    assert_eq!(
        answer.text("/data/secret_created_at"),
        "2027-01-15T08:01:00Z"
    );
    let new = answer.text("/data/secret");
    assert_ne!(old, new);
    let shown = client.get(&path).await;
    assert_eq!(
        shown.text("/data/old_secret_ends_at"),
        "2027-01-15T08:11:00Z"
    );
    assert!(!shown.body.to_string().contains("whsec_"), "{shown:?}");

    plane.clock.advance(599);
    client.key("during").await;
    receiver.wait_for(1).await[0].verify_with(&[&new, &old]);
    plane.clock.advance(1);
    client.key("from that second on").await;
    receiver.wait_for(2).await[1].verify_with(&[&new]);
    assert_eq!(
        client.get(&path).await.at("/data/old_secret_ends_at"),
        &Value::Null
    );
}

/// The overlap is at most thirty days.
#[tokio::test]
async fn overlap_defaults_to_a_day() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, "https://receiver.example/", json!({})).await;
    for (body, field) in [
        (json!({"overlap_seconds": 30 * DAY + 1}), "overlap_seconds"),
        (json!({"overlap_seconds": -1}), "overlap_seconds"),
        (json!({"overlap_seconds": 1.5}), "overlap_seconds"),
        (json!({"overlap_seconds": null}), "overlap_seconds"),
        (json!({"secret": "whsec_mine"}), "secret"),
    ] {
        rotate(&client, &path, body)
            .await
            .refused_by(400, "invalid_request", field);
    }
    assert_eq!(
        client.get(&path).await.at("/data/old_secret_ends_at"),
        &Value::Null
    );
    let answer = rotate(&client, &path, json!({})).await;
    assert_eq!(
        answer.text("/data/old_secret_ends_at"),
        "2027-01-16T08:00:00Z"
    );
}

#[tokio::test]
async fn rotation_without_overlap_ends_older_secrets() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, &receiver.url, json!({})).await;
    rotated(&client, &path, json!({})).await;
    plane.clock.advance(20 * 60);
    let last = rotated(&client, &path, json!({"overlap_seconds": 0})).await;
    client.key("CI").await;
    receiver.wait_for(1).await[0].verify_with(&[&last]);
    let (old, ends): (Option<Vec<u8>>, Option<i64>) =
        sqlx::query_as("SELECT old_secret, old_secret_ends_at FROM webhooks")
            .fetch_one(&plane.pool().await)
            .await
            .unwrap();
    assert_eq!((old, ends), (None, None));
}

#[tokio::test]
async fn second_rotation_during_overlap_is_refused() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let (path, old) = webhook(&client, &receiver.url, json!({})).await;
    let lost = rotated(&client, &path, json!({"overlap_seconds": 3_600})).await;

    // The caller's response may have been lost. Another session of the same user can repeat the
    // call until this time.
    plane.clock.advance(600);
    let again = plane.log_in().await;
    let answer = rotate(&again, &path, json!({"overlap_seconds": 30})).await;
    assert_eq!(
        answer.text("/data/old_secret_ends_at"),
        "2027-01-15T09:00:00Z",
        "the old secret keeps its end"
    );
    let new = answer.text("/data/secret");
    assert_ne!(lost, new);

    // Another user cannot, and the same caller cannot later.
    client
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let zoe = plane.client("zoe@localhost").await;
    rotate(&zoe, &path, json!({}))
        .await
        .refused(409, "overlap_running");
    plane.clock.advance(601);
    rotate(&client, &path, json!({}))
        .await
        .refused(409, "overlap_running");
    client.key("CI").await;
    receiver.wait_for(1).await[0].verify_with(&[&new, &old]);

    plane.clock.advance(3_600);
    let zoe = plane.client("zoe@localhost").await;
    let next = rotated(&zoe, &path, json!({})).await;
    let client = plane.log_in().await;
    client.key("after").await;
    receiver.wait_for(2).await[1].verify_with(&[&next, &new]);
}

#[tokio::test]
async fn pending_delivery_uses_the_new_secret() {
    let (plane, receiver) = with_receiver().await;
    receiver.answer(super::receiver::Reply::Status(500));
    let client = plane.log_in().await;
    let (path, old) = webhook(&client, &receiver.url, json!({})).await;
    client.key("CI").await;
    super::delivery(&client, &path, "pending", 1).await;
    let new = rotated(&client, &path, json!({})).await;
    receiver.answer(super::receiver::Reply::Status(200));
    plane.clock.advance(6);
    let received = receiver.wait_for(2).await;
    received[0].verify_with(&[&old]);
    received[1].verify_with(&[&new, &old]);
}

/// A wrong clock deletes nothing.
#[tokio::test]
async fn ended_secret_is_deleted() {
    const OLD: &str = "SELECT old_secret IS NOT NULL FROM webhooks";
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, "https://receiver.example/", json!({})).await;
    rotated(&client, &path, json!({"overlap_seconds": 60})).await;
    let pool = plane.pool().await;
    let kept = async || {
        sqlx::query_scalar::<_, bool>(OLD)
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let now = crate::harness::START;
    plane
        .store()
        .clean_up_webhook_secrets(now + 30 * DAY)
        .await
        .unwrap();
    assert!(kept().await, "no Envoy has agreed to that time");
    plane.use_a_key_on(now).await;
    plane
        .store()
        .clean_up_webhook_secrets(now + DAY + 60)
        .await
        .unwrap();
    assert!(kept().await, "no Envoy has agreed that it is tomorrow");
    plane.use_a_key_on(now + DAY + 60).await;
    plane
        .store()
        .clean_up_webhooks(now + DAY + 59)
        .await
        .unwrap();
    plane
        .store()
        .clean_up_webhook_secrets(now + DAY + 59)
        .await
        .unwrap();
    assert!(kept().await);
    plane
        .store()
        .clean_up_webhook_secrets(now + DAY + 60)
        .await
        .unwrap();
    assert!(!kept().await);
}

#[tokio::test]
async fn rotation_is_audited_without_secrets() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, "https://receiver.example/", json!({})).await;
    let secret = rotated(&client, &path, json!({"overlap_seconds": 5})).await;
    let answer = client.get("/v1/audit?action=webhook.rotate_secret").await;
    let entry = answer.at("/data/entries/0");
    assert_eq!(entry["after"], json!({"overlap_seconds": 5}), "{answer:?}");
    assert!(!answer.body.to_string().contains(&secret));
}
