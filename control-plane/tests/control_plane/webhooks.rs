//! Tests webhooks: receivers are sent the events of keys at least once, and nobody else is.

use crate::harness::{Answer, Client, Plane};
use crate::node::PATIENCE;
use receiver::Receiver;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

mod addresses;
mod api;
mod delivery;
mod events;
mod expiring;
mod failing;
mod manual;
mod receiver;
mod rotation;

const PRIVATE: &[&str] = &["--webhook-allow-private"];

/// Creates a webhook, and returns its path and its secret.
async fn webhook(client: &Client<'_>, url: &str, mut settings: Value) -> (String, String) {
    settings["url"] = json!(url);
    let answer = client.send(Method::POST, "/v1/webhooks", settings).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    (
        format!("/v1/webhooks/{}", answer.text("/data/webhook_id")),
        answer.text("/data/secret"),
    )
}

/// Starts a control plane that may send to private addresses, and a receiver that accepts
/// everything.
async fn with_receiver() -> (Plane, Receiver) {
    (Plane::start_with(PRIVATE).await, Receiver::start().await)
}

/// Waits until no delivery is pending. A delivery in progress would be sent again if the clock
/// advanced.
async fn all_sent(plane: &Plane) {
    let started = Instant::now();
    while plane.metric("latchkey_webhook_outbox_pending").await > 0.0 {
        assert!(started.elapsed() < PATIENCE, "something is never sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until `condition` holds for the response at the path.
async fn eventually(
    client: &Client<'_>,
    path: &str,
    condition: impl Fn(&Answer) -> bool,
) -> Answer {
    let started = Instant::now();
    loop {
        let answer = client.get(path).await;
        if condition(&answer) {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "it stays so: {answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns a time of a response in Unix seconds.
fn second(time: &Value) -> Option<i64> {
    Some(
        time.as_str()?
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_second(),
    )
}

/// Waits until the webhook's newest delivery has this state after this number of attempts, and
/// returns it.
async fn delivery(client: &Client<'_>, webhook: &str, state: &str, attempts: usize) -> Value {
    // During an attempt, the delivery is still due.
    let waits = [0, 5, 35][attempts.min(2)];
    let is = |answer: &Answer| {
        let newest = &answer.body["data"]["deliveries"][0];
        let next = second(&newest["next_at"]).zip(second(&newest["created_at"]));
        let waiting = next.is_none_or(|(next, created)| next - created >= waits);
        newest["state"] == state && newest["attempts"] == attempts && waiting
    };
    eventually(client, &format!("{webhook}/deliveries"), is)
        .await
        .at("/data/deliveries/0")
        .clone()
}
