//! Tests `/v1/webhooks`.

use super::webhook;
use crate::harness::{Plane, START};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const URL: &str = "https://receiver.example/hooks";

#[tokio::test]
async fn webhook_is_shown_and_its_secret_once() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let answer = client
        .send(
            Method::POST,
            "/v1/webhooks",
            json!({"url": "https://Receiver.example"}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let (id, secret) = (answer.text("/data/webhook_id"), answer.text("/data/secret"));
    assert!(
        id.starts_with("whk_") && secret.starts_with("whsec_") && secret.len() == 50,
        "{id}"
    );
    let mut expected = json!({
        "webhook_id": id, "url": "https://receiver.example/", "active": true, "expiring_days": [7],
        "events": ["key.created", "key.revoked", "key.expiring", "key.old_secret_used", "key.limit_reached"],
        "created_at": "2027-01-15T08:00:00Z", "updated_at": "2027-01-15T08:00:00Z",
        "secret_created_at": "2027-01-15T08:00:00Z", "old_secret_ends_at": null, "last_error": null, "last_error_at": null,
    });
    assert_eq!(
        client.get(&format!("/v1/webhooks/{id}")).await.at("/data"),
        &expected
    );
    assert_eq!(
        client.get("/v1/webhooks").await.at("/data"),
        &json!({"webhooks": [expected], "total": 1})
    );
    expected["secret"] = json!(secret);
    assert_eq!(answer.at("/data"), &expected);
    assert_eq!(
        plane.store().revision(),
        1,
        "nodes have nothing to do with it"
    );
}

#[tokio::test]
async fn webhook_is_created_and_edited() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let settings = json!({"events": ["key.expiring", "key.created", "key.expiring"], "expiring_days": [1, 30, 7, 7]});
    let (path, _) = webhook(&client, URL, settings).await;
    let shown = client.get(&path).await;
    assert_eq!(
        shown.at("/data/events"),
        &json!(["key.created", "key.expiring"])
    );
    assert_eq!(shown.at("/data/expiring_days"), &json!([30, 7, 1]));

    plane.clock.advance(5);
    for (field, value) in [
        ("url", json!("https://other.example/")),
        ("events", json!(["key.revoked"])),
        ("expiring_days", json!([365])),
        ("active", json!(false)),
    ] {
        let answer = client.patch(&path, json!({field: value})).await;
        assert_eq!(
            (answer.status, answer.at(&format!("/data/{field}"))),
            (StatusCode::OK, &value)
        );
    }
    let changed = client.get(&path).await;
    assert_eq!(changed.at("/data/url"), "https://other.example/");
    assert_eq!(changed.at("/data/updated_at"), "2027-01-15T08:00:05Z");
    assert_eq!(
        client.patch(&path, json!({})).await.at("/data"),
        changed.at("/data")
    );

    let answer = client.delete(&path).await;
    assert_eq!(
        (answer.status, answer.text("/message").as_str()),
        (StatusCode::OK, "Webhook deleted successfully")
    );
    assert_eq!(client.get("/v1/webhooks").await.number("/data/total"), 0);
}

#[tokio::test]
async fn invalid_webhook_is_refused_by_field() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, URL, json!({})).await;
    let before = client.get(&path).await;
    for (field, settings) in [
        ("url", json!({"url": "receiver.example"})),
        ("url", json!({"url": "http://receiver.example/"})),
        (
            "url",
            json!({"url": "https://user:password@receiver.example/"}),
        ),
        ("url", json!({"url": "https://receiver.example/#here"})),
        (
            "url",
            json!({"url": format!("https://receiver.example/{}", "x".repeat(2_100))}),
        ),
        ("url", json!({"url": null})),
        ("events", json!({"events": []})),
        (
            "events[1]",
            json!({"events": ["key.created", "key.renamed"]}),
        ),
        ("events[0]", json!({"events": ["webhook.test"]})),
        ("expiring_days", json!({"expiring_days": []})),
        (
            "expiring_days",
            json!({"expiring_days": (1..=11).collect::<Vec<_>>()}),
        ),
        ("expiring_days[1]", json!({"expiring_days": [7, 0]})),
        ("expiring_days[0]", json!({"expiring_days": [366]})),
        ("expiring_days[0]", json!({"expiring_days": [-1]})),
        ("secret", json!({"secret": "whsec_mine"})),
    ] {
        client
            .patch(&path, settings.clone())
            .await
            .refused_by(400, "invalid_request", field);
        let mut whole = json!({"url": URL});
        whole
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        client
            .send(Method::POST, "/v1/webhooks", whole)
            .await
            .refused_by(400, "invalid_request", field);
    }
    client
        .send(Method::POST, "/v1/webhooks", json!({}))
        .await
        .refused_by(400, "invalid_request", "url");
    assert_eq!(
        client.get("/v1/webhooks").await.at("/data/webhooks"),
        &json!([before.at("/data")])
    );
}

#[tokio::test]
async fn webhooks_are_bounded_per_account() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for _ in 0..20 {
        webhook(&client, URL, json!({})).await;
    }
    let refused = client
        .send(Method::POST, "/v1/webhooks", json!({"url": URL}))
        .await;
    refused.refused(403, "webhook_limit");
    assert_eq!(client.get("/v1/webhooks").await.number("/data/total"), 20);
}

#[tokio::test]
async fn other_accounts_webhooks_are_not_found() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let pool = plane.pool().await;
    for statement in [
        "INSERT INTO accounts (id, name, tier, created_at) VALUES ('acc_2', 'second', 'basic', 5)",
        "INSERT INTO webhooks (id, account_id, url, secret, events, expiring_days, created_at, updated_at) \
         VALUES ('whk_2', 'acc_2', 'https://second.example/', x'00', '[\"key.created\"]', '[7]', 5, 5)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    assert_eq!(client.get("/v1/webhooks").await.number("/data/total"), 0);
    for path in ["/v1/webhooks/whk_2", "/v1/webhooks/nothing"] {
        client.get(path).await.refused(404, "webhook_not_found");
        client
            .get(&format!("{path}/deliveries"))
            .await
            .refused(404, "webhook_not_found");
        client
            .patch(path, json!({"active": false}))
            .await
            .refused(404, "webhook_not_found");
        client.delete(path).await.refused(404, "webhook_not_found");
        let test = client
            .send(Method::POST, &format!("{path}/test"), Value::Null)
            .await;
        test.refused(404, "webhook_not_found");
        let rotate = client
            .send(Method::POST, &format!("{path}/rotate-secret"), json!({}))
            .await;
        rotate.refused(404, "webhook_not_found");
        let again = client
            .send(
                Method::POST,
                &format!("{path}/deliveries/msg_1/redeliver"),
                Value::Null,
            )
            .await;
        again.refused(404, "webhook_not_found");
    }
    client.key("of the first account").await;
    let received: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(received, 0);
    assert!(
        plane
            .store()
            .webhook("acc_2", "whk_2")
            .await
            .unwrap()
            .active
            && START > 5
    );
}
