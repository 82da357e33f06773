//! Tests deliveries that fail.

use super::receiver::{Receiver, Reply};
use super::{delivery, eventually, second, webhook, with_receiver};
use crate::harness::{Answer, START};
use latchkey_model::clock::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};

/// Returns the time of the next attempt, in seconds after the start.
fn next(delivery: &Value) -> i64 {
    second(&delivery["next_at"]).unwrap() - START
}

#[tokio::test]
async fn failed_delivery_is_retried_ever_later() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    receiver.answer(Reply::Status(503));
    let (path, secret) = webhook(&client, &receiver.url, json!({})).await;
    client.key("CI").await;
    let failed = delivery(&client, &path, "pending", 1).await;
    assert_eq!(
        (&failed["last_status"], &failed["last_error"]),
        (&json!(503), &json!("the receiver responded with 503"))
    );
    assert!((5..=6).contains(&next(&failed)), "{failed}");
    let shown = client.get(&path).await;
    assert_eq!(
        (
            shown.text("/data/last_error").as_str(),
            shown.at("/data/active")
        ),
        ("the receiver responded with 503", &json!(true))
    );
    assert_eq!(shown.text("/data/last_error_at"), "2027-01-15T08:00:00Z");

    plane.clock.advance(6);
    let failed = delivery(&client, &path, "pending", 2).await;
    assert!((36..=42).contains(&next(&failed)), "{failed}");
    receiver.answer(Reply::Status(200));
    plane.clock.advance(36);
    let delivered = delivery(&client, &path, "delivered", 3).await;
    assert_eq!(
        (&delivered["last_status"], &delivered["last_error"]),
        (&json!(200), &Value::Null)
    );
    assert_eq!(client.get(&path).await.at("/data/last_error"), &Value::Null);

    let events = receiver.received();
    events.iter().for_each(|events| events.verify(&secret));
    let times: Vec<_> = events
        .iter()
        .map(|events| events.header("webhook-timestamp"))
        .collect();
    assert_eq!(times, ["1800000000", "1800000006", "1800000042"]);
    assert!(
        events
            .iter()
            .all(|one| one.id() == events[0].id() && one.body == events[0].body)
    );
    for (outcome, count) in [("retried", 2.0), ("delivered", 1.0), ("failed", 0.0)] {
        let metric = plane
            .metric(&format!(
                "latchkey_webhook_deliveries_total{{outcome=\"{outcome}\"}}"
            ))
            .await;
        assert!((metric - count).abs() < f64::EPSILON, "{outcome}");
    }
}

#[tokio::test]
async fn delivery_ends_after_three_days() {
    let (plane, receiver) = with_receiver().await;
    receiver.answer(Reply::Status(500));
    let path = {
        let client = plane.log_in().await;
        let (path, _) = webhook(&client, &receiver.url, json!({})).await;
        client.key("CI").await;
        delivery(&client, &path, "pending", 1).await;
        path
    };
    let pending = plane.metric("latchkey_webhook_outbox_pending").await;
    assert!((pending - 1.0).abs() < f64::EPSILON);
    plane.clock.advance(3 * 86_400 - 60);
    let age = plane
        .metric("latchkey_webhook_oldest_pending_seconds")
        .await;
    assert!((age - (3.0 * 86_400.0 - 60.0)).abs() < f64::EPSILON);
    // The next attempt would be too late.
    plane.clock.advance(60);
    let client = plane.log_in().await;
    let path_of_all = format!("{path}/deliveries");
    let is_failed = |answer: &Answer| answer.body["data"]["deliveries"][0]["state"] == "failed";
    let failed = eventually(&client, &path_of_all, is_failed)
        .await
        .at("/data/deliveries/0")
        .clone();
    assert_eq!(
        (&failed["next_at"], &failed["last_error"]),
        (&Value::Null, &json!("the receiver responded with 500"))
    );
    assert_eq!(
        client.get(&path).await.text("/data/last_error"),
        "the receiver responded with 500"
    );
    assert!(plane.metric("latchkey_webhook_outbox_pending").await.abs() < f64::EPSILON);
    let metric = plane
        .metric(r#"latchkey_webhook_deliveries_total{outcome="failed"}"#)
        .await;
    assert!((metric - 1.0).abs() < f64::EPSILON);

    // After seven days, the delivery is deleted.
    let later = plane.clock.now() + 7 * 86_400;
    plane.store().clean_up_webhooks(later).await.unwrap();
    assert_eq!(
        client
            .get(&path_of_all)
            .await
            .at("/data/deliveries")
            .as_array()
            .unwrap()
            .len(),
        1
    );
    plane.store().clean_up_webhooks(later + 60).await.unwrap();
    assert_eq!(
        client.get(&path_of_all).await.at("/data/deliveries"),
        &json!([])
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (plane, elsewhere) = with_receiver().await;
    let client = plane.log_in().await;
    let receiver = Receiver::answering(Reply::Redirect(elsewhere.url.clone())).await;
    let (path, _) = webhook(&client, &receiver.url, json!({})).await;
    client.key("CI").await;
    let failed = delivery(&client, &path, "pending", 1).await;
    assert_eq!(
        (&failed["last_status"], &failed["last_error"]),
        (&json!(307), &json!("the receiver responded with 307"))
    );
    assert!(elsewhere.received().is_empty());
}

/// The receiver answers 410, and gets nothing until the webhook is switched on again.
#[tokio::test]
async fn gone_receiver_is_switched_off() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    receiver.answer(Reply::Status(500));
    let (path, _) = webhook(&client, &receiver.url, json!({})).await;
    client.key("one").await;
    delivery(&client, &path, "pending", 1).await;
    receiver.answer(Reply::Status(410));
    client.key("two").await;
    plane.clock.advance(6);
    let gone = eventually(&client, &path, |answer| {
        answer.body["data"]["active"] == false
    })
    .await;
    assert!(gone.text("/data/last_error").contains("410"), "{gone:?}");
    let deliveries = client.get(&format!("{path}/deliveries")).await;
    for index in 0..2 {
        assert_eq!(
            deliveries.at(&format!("/data/deliveries/{index}/state")),
            "failed"
        );
    }
    let seen = receiver.received().len();
    client.key("three").await;
    client
        .send(Method::POST, &format!("{path}/test"), Value::Null)
        .await
        .refused(409, "webhook_inactive");

    receiver.answer(Reply::Status(200));
    let on = client.patch(&path, json!({"active": true})).await;
    assert_eq!(
        (on.at("/data/active"), on.at("/data/last_error")),
        (&json!(true), &Value::Null)
    );
    client.key("four").await;
    let events = receiver.wait_for(seen + 1).await;
    assert_eq!(events.last().unwrap().json()["data"]["name"], "four");
    assert_eq!(
        events.len(),
        seen + 1,
        "events in the meantime are not sent"
    );
}

#[tokio::test]
async fn switching_off_gives_up_pending_deliveries() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    receiver.answer(Reply::Status(500));
    let (path, _) = webhook(&client, &receiver.url, json!({})).await;
    client.key("CI").await;
    delivery(&client, &path, "pending", 1).await;
    client.patch(&path, json!({"active": false})).await;
    assert_eq!(
        delivery(&client, &path, "failed", 1).await["last_error"],
        "webhook deactivated"
    );
    assert_eq!(client.delete(&path).await.status, 200);
    client.get(&path).await.refused(404, "webhook_not_found");
}

#[tokio::test]
async fn unreachable_receiver_is_reported() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (path, _) = webhook(
        &client,
        &format!("http://{nobody}/?token=hidden"),
        json!({}),
    )
    .await;
    // The receiver answers, but not with TLS.
    let (plain, _) = webhook(
        &client,
        &receiver.url.replace("http://", "https://"),
        json!({}),
    )
    .await;
    client.key("CI").await;
    let refused = delivery(&client, &path, "pending", 1).await;
    assert!(
        refused["last_error"].as_str().unwrap().contains("refused"),
        "{refused}"
    );
    assert!(!refused.to_string().contains("hidden"));
    let failed = delivery(&client, &plain, "pending", 1).await;
    assert_eq!(failed["last_status"], Value::Null);
    assert!(receiver.received().is_empty());
}
