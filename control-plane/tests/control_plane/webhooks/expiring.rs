//! Tests the announcements of keys that will expire.

use super::receiver::Receiver;
use super::{all_sent, webhook, with_receiver};
use crate::harness::{Client, Plane, START};
use latchkey_model::clock::Clock as _;
use serde_json::json;

const DAY: i64 = 86_400;

/// Creates a key that expires this number of seconds after the start, and returns its path.
async fn key(client: &Client<'_>, name: &str, expires_in: i64) -> String {
    let answer = client
        .generate(json!({"name": name, "expires_at": START + expires_in}))
        .await;
    format!("/v1/keys/{}", answer.text("/data/key_id"))
}

/// Returns the names and days of the announcements.
async fn announced(receiver: &Receiver, count: usize) -> Vec<(String, u64)> {
    let mut announced: Vec<_> = receiver
        .wait_for(count)
        .await
        .into_iter()
        .map(|events| {
            assert_eq!(events.kind(), "key.expiring");
            let data = events.json()["data"].clone();
            (
                data["name"].as_str().unwrap().to_owned(),
                data["days"].as_u64().unwrap(),
            )
        })
        .collect();
    announced.sort_unstable();
    announced
}

fn expected(announced: &[(&str, u64)]) -> Vec<(String, u64)> {
    announced
        .iter()
        .map(|(name, days)| ((*name).to_owned(), *days))
        .collect()
}

#[tokio::test]
async fn expiry_is_announced_once_per_lead_time() {
    let (mut plane, receiver) = with_receiver().await;
    {
        let client = plane.log_in().await;
        let settings = json!({"events": ["key.expiring"], "expiring_days": [30, 7, 1]});
        webhook(&client, &receiver.url, settings).await;
        key(&client, "far", 31 * DAY).await;
        key(&client, "near", 7 * DAY).await;
        key(&client, "soon", 60).await;
        let revoked = key(&client, "revoked", DAY).await;
        client.delete(&revoked).await;
        client.key("everlasting").await;
    }
    announce(&plane, 0).await;
    assert_eq!(
        announced(&receiver, 2).await,
        expected(&[("near", 7), ("soon", 1)])
    );
    announce(&plane, DAY - 1).await;
    assert_eq!(receiver.received().len(), 2);
    announce(&plane, DAY).await;
    assert_eq!(
        announced(&receiver, 3).await,
        expected(&[("far", 30), ("near", 7), ("soon", 1)])
    );
    plane.restart().await;
    announce(&plane, DAY + 60).await;
    announce(&plane, 6 * DAY).await;
    assert_eq!(
        announced(&receiver, 4).await,
        expected(&[("far", 30), ("near", 1), ("near", 7), ("soon", 1)])
    );
    plane
        .store()
        .clean_up_webhooks(START + 6 * DAY)
        .await
        .unwrap();
    announce(&plane, 6 * DAY + 60).await;
    assert_eq!(receiver.received().len(), 4);
}

/// Announces everything due at this number of seconds after the start, twice, and waits until it is
/// sent.
async fn announce(plane: &Plane, seconds: i64) {
    plane.clock.advance(START + seconds - plane.clock.now());
    for _ in 0..2 {
        plane
            .store()
            .announce_expiries(START + seconds)
            .await
            .unwrap();
    }
    all_sent(plane).await;
}

#[tokio::test]
async fn another_expiry_is_announced_anew() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    webhook(&client, &receiver.url, json!({"events": ["key.expiring"]})).await;
    let path = key(&client, "CI", DAY).await;
    plane.store().announce_expiries(START).await.unwrap();
    client.patch(&path, json!({"name": "renamed"})).await;
    plane.store().announce_expiries(START).await.unwrap();
    client
        .patch(&path, json!({"expires_at": START + 2 * DAY}))
        .await;
    plane.store().announce_expiries(START).await.unwrap();
    client
        .patch(&path, json!({"expires_at": START + DAY}))
        .await;
    plane.store().announce_expiries(START).await.unwrap();
    assert_eq!(
        announced(&receiver, 2).await,
        expected(&[("CI", 7), ("renamed", 7)])
    );
    let events = receiver.received();
    assert_eq!(events.len(), 2, "the first expiry was announced before");
    assert_eq!(
        events[1].json()["data"]["expires_at"],
        "2027-01-17T08:00:00Z"
    );
}

#[tokio::test]
async fn many_expiries_are_announced_in_steps() {
    let (plane, receiver) = with_receiver().await;
    let client = plane.log_in().await;
    plane.create_keys("key", 1_200).await;
    let expire = sqlx::query("UPDATE keys SET expires_at = ?").bind(START + DAY);
    expire.execute(&plane.pool().await).await.unwrap();
    let (path, _) = webhook(&client, &receiver.url, json!({"events": ["key.expiring"]})).await;
    plane.store().announce_expiries(START).await.unwrap();
    plane.store().announce_expiries(START).await.unwrap();
    let query = "SELECT COUNT(*) FROM webhook_deliveries WHERE event = 'key.expiring'";
    let written: i64 = sqlx::query_scalar(query)
        .fetch_one(&plane.pool().await)
        .await
        .unwrap();
    assert_eq!(written, 1_200);
    let shown = client.get(&format!("{path}/deliveries")).await;
    assert_eq!(shown.at("/data/deliveries").as_array().unwrap().len(), 100);
}
