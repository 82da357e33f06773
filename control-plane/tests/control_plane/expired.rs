//! Tests expired keys: their names, the limits they count towards, when nodes remove them, and how
//! they are renewed.

mod cycles;
mod revival;

use crate::harness::{Answer, Client, Plane, START};
use crate::node::{Node, hello};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

/// Creates a key that expires `seconds` after the start. Returns its id and its secret.
async fn expiring(client: &Client<'_>, name: &str, seconds: i64) -> (String, String) {
    let answer = client
        .generate(json!({"name": name, "expires_at": START + seconds}))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    (answer.text("/data/key_id"), answer.text("/data/api_key"))
}

async fn renew(client: &Client<'_>, id: &str, expires_at: Value) -> Answer {
    client
        .patch(
            &format!("/v1/keys/{id}?wait_ms=0"),
            json!({"expires_at": expires_at}),
        )
        .await
}

async fn regenerate(client: &Client<'_>, id: &str, body: Value) -> Answer {
    client
        .send(
            Method::POST,
            &format!("/v1/keys/{id}/regenerate?wait_ms=0"),
            body,
        )
        .await
}

async fn slot(plane: &Plane, id: &str) -> Option<u32> {
    let query = sqlx::query_scalar("SELECT slot FROM keys WHERE id = ?").bind(id);
    query.fetch_one(&plane.pool().await).await.unwrap()
}

/// Removes expired keys from nodes at `now`, on a day on which keys are used.
async fn sweep(plane: &Plane, now: i64) {
    plane.use_a_key_on(now).await;
    plane.store().sweep_expired_keys(now).await.unwrap();
}

#[tokio::test]
async fn expired_key_frees_its_name_at_the_second() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (account, client) = operator.account("acme", json!({"max_keys": 1})).await;
    let (first, _) = expiring(&client, "CI", 60).await;
    plane.clock.advance(59);
    client
        .generate(json!({"name": "CI"}))
        .await
        .refused(409, "name_taken");
    client
        .generate(json!({"name": "CD"}))
        .await
        .refused(403, "key_limit");
    plane.clock.advance(1);
    let counted = async || operator.get(&account).await.number("/data/keys");
    assert_eq!(counted().await, 0);
    let second = client.key("CI").await;
    assert_eq!(
        counted().await,
        1,
        "of {} keys in the snapshot",
        Node::ready(&plane).await.snapshot.keys.len()
    );
    assert_eq!(
        operator
            .get("/v1/accounts?search=acme")
            .await
            .at("/data/accounts/0/keys"),
        &json!(1)
    );
    // Both keys are shown, and either can be edited by its id.
    assert_eq!(client.total().await, 2);
    let renamed = client
        .patch(
            &format!("/v1/keys/{first}"),
            json!({"description": "the former"}),
        )
        .await;
    assert_eq!(renamed.status, StatusCode::OK);
    client
        .generate(json!({"name": "CD"}))
        .await
        .refused(403, "key_limit");
    let path = format!("/v1/keys/{second}");
    client.delete(&path).await;
    client.key("CD").await;
    let row = json!({"keys": [crate::harness::imported("CI", "made elsewhere")]});
    client
        .send(Method::POST, "/v1/keys/import", row)
        .await
        .refused(403, "key_limit");
}

#[tokio::test]
async fn account_holds_at_most_twice_its_keys() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (_, client) = operator.account("acme", json!({"max_keys": 2})).await;
    for name in ["a", "b"] {
        expiring(&client, name, 60).await;
    }
    plane.clock.advance(60);
    let (third, _) = expiring(&client, "a", 120).await;
    expiring(&client, "b", 120).await;
    plane.clock.advance(60);
    let refused = client.generate(json!({"name": "c"})).await;
    refused.refused(403, "key_limit");
    assert!(
        refused.text("/error").contains("twice its limit of 2"),
        "{refused:?}"
    );
    // A held expired key is renewed without another place. Then the number of valid keys counts.
    assert_eq!(
        renew(&client, &third, json!(START + 6_000)).await.status,
        StatusCode::OK
    );
    client
        .generate(json!({"name": "c"}))
        .await
        .refused(403, "key_limit");
    sweep(&plane, START + 120 + DAY).await;
    client.key("c").await;
    client
        .generate(json!({"name": "d"}))
        .await
        .refused(403, "key_limit");
}

#[tokio::test]
async fn expired_key_leaves_the_snapshot_after_a_day() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, secret) = expiring(&client, "CI", 60).await;
    let permissions =
        json!({"name": "manager", "expires_at": START + 60, "permissions": ["account:apikeys:*"]});
    let manager = client.generate(permissions).await.text("/data/api_key");
    let mut node = Node::ready(&plane).await;
    let away = node.snapshot.clone();
    plane.clock.advance(60 + DAY);
    let now = START + 60 + DAY;
    plane
        .bearer(&manager)
        .get("/v1/keys")
        .await
        .refused(401, "expired_key");
    // A clock that no node confirms is not trusted, and one second before the day is over it is too
    // early.
    let revision = plane.store().revision();
    plane.store().sweep_expired_keys(now).await.unwrap();
    sweep(&plane, now - 1).await;
    assert_eq!(
        (plane.store().revision(), node.snapshot.keys.len()),
        (revision, 2)
    );

    sweep(&plane, now).await;
    assert_eq!(plane.store().revision(), revision + 1);
    let batches = node.publish().await;
    assert_eq!(batches[0].removed_keys.len(), 64);
    // A node that was away is sent the removal, and a new node never sees the key.
    let mut back = Node::connect(&plane, hello(), away).await;
    back.publish().await;
    for snapshot in [
        &node.snapshot,
        &back.snapshot,
        &Node::ready(&plane).await.snapshot,
    ] {
        assert!(
            snapshot.keys.is_empty() && snapshot.policies.is_empty(),
            "{snapshot:?}"
        );
    }
    sweep(&plane, now).await;
    assert_eq!(
        plane.store().revision(),
        revision + 1,
        "nothing is left to do"
    );
    plane
        .bearer(&manager)
        .get("/v1/keys")
        .await
        .refused(401, "invalid_key");
    let client = plane.log_in().await;
    let question = json!({"request": {"headers": {"x-api-key": secret}}});
    let explained = client.send(Method::POST, "/v1/explain", question).await;
    assert_eq!(explained.text("/data/code"), "invalid_key", "{explained:?}");

    // The key is shown, edited and revoked as before.
    assert_eq!(
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .at("/data/active"),
        &json!(false)
    );
    assert_eq!(
        client
            .patch(&format!("/v1/keys/{id}"), json!({"name": "old CI"}))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        client.delete(&format!("/v1/keys/{id}")).await.status,
        StatusCode::OK
    );
    assert_eq!(client.total().await, 1);
    assert!(Node::ready(&plane).await.snapshot.keys.is_empty());
}

#[tokio::test]
async fn clock_once_ahead_loses_no_key() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (_, secret) = expiring(&client, "CI", 60).await;
    let mut node = Node::ready(&plane).await;
    let before = node.snapshot.clone();
    sweep(&plane, START + 30 * DAY).await;
    node.publish().await;
    assert!(node.snapshot.by(&secret).is_none());
    plane.store().sweep_expired_keys(START).await.unwrap();
    node.publish().await;
    for snapshot in [&node.snapshot, &Node::ready(&plane).await.snapshot] {
        assert_eq!(
            (&snapshot.keys, &snapshot.policies),
            (&before.keys, &before.policies)
        );
    }
}

#[tokio::test]
async fn clock_a_day_ahead_removes_nothing() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (_, first) = expiring(&client, "CI", 60).await;
    let id = client.key("CD").await;
    client.regenerate(&id, 60).await;
    let before = Node::ready(&plane).await.snapshot;
    // A key was used on the real day, before the clock was set.
    plane.use_a_key_on(START).await;
    let revision = plane.store().revision();
    for ahead in [DAY + 60, 2 * DAY, 3 * DAY] {
        plane
            .store()
            .sweep_expired_keys(START + ahead)
            .await
            .unwrap();
        plane.store().clean_up_secrets(START + ahead).await.unwrap();
        assert_eq!(plane.store().revision(), revision, "{ahead}");
    }
    assert!(before.by(&first).is_some());
    assert_eq!(Node::ready(&plane).await.snapshot, before);
}

/// Waits until the control plane has recorded the current time of its clock.
async fn noted(plane: &Plane, now: i64) {
    let pool = plane.pool().await;
    let noted = async || {
        sqlx::query_scalar::<_, i64>("SELECT noted_at FROM meta")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    while noted().await != now {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn idle_accounts_lose_expired_keys() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    expiring(&client, "CI", 60).await;
    let held = async || Node::ready(&plane).await.snapshot.keys.len();
    let now = START + 60 + DAY;
    plane.clock.advance(60 + DAY);
    noted(&plane, now).await;
    plane.store().sweep_expired_keys(now).await.unwrap();
    assert_eq!(held().await, 1, "the clock was set a moment ago");
    let pool = plane.pool().await;
    let a_day_ago = format!("UPDATE meta SET clock_steady_since = uptime_seconds - {DAY}");
    sqlx::query(sqlx::AssertSqlSafe(a_day_ago))
        .execute(&pool)
        .await
        .unwrap();
    plane.store().sweep_expired_keys(now + DAY).await.unwrap();
    plane.store().sweep_expired_keys(now - 1).await.unwrap();
    assert_eq!(
        held().await,
        1,
        "another time than was noted, and a second earlier"
    );
    plane.store().sweep_expired_keys(now).await.unwrap();
    assert_eq!(held().await, 0);
}

#[tokio::test]
async fn keys_leave_the_snapshot_in_steps() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    plane.create_keys("many", 2_500).await;
    let statement = "UPDATE keys SET expires_at = ?";
    sqlx::query(statement)
        .bind(START + 60)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    let revision = plane.store().revision();
    sweep(&plane, START + 60 + DAY).await;
    assert_eq!(plane.store().revision(), revision + 3);
    assert!(Node::ready(&plane).await.snapshot.keys.is_empty());
    assert_eq!(client.total().await, 2_500);
}
