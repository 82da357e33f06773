//! Tests `Idempotency-Key`: a repeated call has no second effect.

use crate::harness::{Answer, Client, Plane, START, imported};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

async fn call(client: &Client<'_>, key: &str, path: &str, body: &Value) -> Answer {
    Answer::to(
        client
            .request(Method::POST, path)
            .header("Idempotency-Key", key)
            .json(body),
    )
    .await
}

/// Creates a key by a call that can be repeated.
async fn generate(client: &Client<'_>, key: &str, name: &str) -> Answer {
    call(client, key, "/v1/keys/generate", &json!({"name": name})).await
}

/// Returns the response's data without the fields that differ between calls.
fn data(answer: &Answer, secret: &str) -> Value {
    let mut data = answer.at("/data").clone();
    let fields = data.as_object_mut().unwrap();
    for field in [secret, "replayed", "enforcement"] {
        fields.remove(field);
    }
    data
}

#[tokio::test]
async fn repeated_call_has_no_second_effect() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("rotated").await;
    let regenerate = format!("/v1/keys/{id}/regenerate");
    let webhook = client
        .send(
            Method::POST,
            "/v1/webhooks",
            json!({"url": "https://example.com/rotated"}),
        )
        .await;
    let rotate = format!(
        "/v1/webhooks/{}/rotate-secret",
        webhook.text("/data/webhook_id")
    );
    for (path, body, secret) in [
        ("/v1/keys/generate", json!({"name": "CI"}), "api_key"),
        (
            "/v1/keys/import",
            json!({"keys": [imported("old", "made elsewhere")]}),
            "",
        ),
        (regenerate.as_str(), json!({}), "api_key"),
        (
            "/v1/webhooks",
            json!({"url": "https://example.com/hook"}),
            "secret",
        ),
        (rotate.as_str(), json!({"overlap_seconds": 60}), "secret"),
        (
            "/v1/node-tokens",
            json!({"name": "edge", "node": "edge-*"}),
            "node_token",
        ),
    ] {
        let first = call(&client, "one", path, &body).await;
        assert!(
            first.status.is_success() && first.body["data"].get("replayed").is_none(),
            "{path}: {first:?}"
        );
        let revision = plane.store().revision();
        let entries = client
            .get("/v1/audit?limit=1")
            .await
            .at("/data/entries")
            .clone();
        plane.clock.advance(1);
        let again = call(&client, "one", path, &body).await;
        assert_eq!(
            (again.status, again.at("/data/replayed")),
            (StatusCode::OK, &json!(true)),
            "{path}"
        );
        assert_eq!(data(&again, secret), data(&first, secret), "{path}");
        assert_eq!(
            first.body["data"].get(secret).is_some(),
            !secret.is_empty(),
            "{path}"
        );
        assert!(again.body["data"].get(secret).is_none(), "{path}");
        assert_eq!(
            again.body["data"].get("enforcement").is_some(),
            first.body["data"].get("enforcement").is_some()
        );
        assert_eq!(plane.store().revision(), revision, "{path}");
        assert_eq!(
            client.get("/v1/audit?limit=1").await.at("/data/entries"),
            &entries,
            "{path}"
        );
    }
    assert_eq!(client.total().await, 3);
    assert_eq!(client.get("/v1/webhooks").await.number("/data/total"), 2);
    assert_eq!(client.get("/v1/node-tokens").await.number("/data/total"), 1);
}

#[tokio::test]
async fn repeated_call_with_other_body_fails() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    generate(&client, "one", "CI").await;
    generate(&client, "one", "CD")
        .await
        .refused(409, "idempotency_conflict");
    assert_eq!(
        generate(&client, "two", "CD").await.status,
        StatusCode::CREATED
    );
    assert_eq!(client.total().await, 2);
}

#[tokio::test]
async fn idempotency_key_belongs_to_its_caller() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let first = generate(&client, "one", "CI").await;
    // Another session of the same user is the same caller.
    assert_eq!(
        generate(&plane.log_in().await, "one", "CI")
            .await
            .at("/data/replayed"),
        &json!(true)
    );
    // Another user or a key is another caller, and each path has separate idempotency keys.
    generate(&plane.client("zoe@localhost").await, "one", "CI")
        .await
        .refused(409, "name_taken");
    let manager = client
        .generate(json!({"name": "manager", "permissions": ["account:apikeys:*"]}))
        .await;
    let by_key = plane.bearer(&manager.text("/data/api_key"));
    assert_eq!(
        generate(&by_key, "one", "CD").await.status,
        StatusCode::CREATED
    );
    let rotated = by_key.regenerate(&manager.text("/data/key_id"), 60).await;
    assert_eq!(
        generate(&plane.bearer(&rotated), "one", "CD")
            .await
            .at("/data/replayed"),
        &json!(true)
    );
    let path = format!("/v1/keys/{}/regenerate", first.text("/data/key_id"));
    assert!(
        call(&client, "one", &path, &json!({}))
            .await
            .at("/data/api_key")
            .is_string()
    );
}

#[tokio::test]
async fn repeated_call_takes_the_permission_again() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let path = admin
        .user(
            "zoe@localhost",
            json!({"permissions": ["account:apikeys:*"]}),
        )
        .await;
    let zoe = plane.client("zoe@localhost").await;
    assert_eq!(
        generate(&zoe, "one", "CI").await.status,
        StatusCode::CREATED
    );
    admin
        .patch(&path, json!({"permissions": ["account:apikeys:read"]}))
        .await;
    generate(&zoe, "one", "CI")
        .await
        .refused(403, "missing_permission");
}

#[tokio::test]
async fn successes_are_recorded_for_a_day() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let taken = client.key("CI").await;
    generate(&client, "one", "CI")
        .await
        .refused(409, "name_taken");
    client.delete(&format!("/v1/keys/{taken}")).await;
    let made = generate(&client, "one", "CI").await;
    assert_eq!(made.status, StatusCode::CREATED);
    client
        .delete(&format!("/v1/keys/{}", made.text("/data/key_id")))
        .await;
    plane.clock.advance(DAY - 1);
    plane
        .store()
        .clean_up_repeatable_calls(START + DAY - 1)
        .await
        .unwrap();
    assert_eq!(
        generate(&plane.log_in().await, "one", "CI")
            .await
            .at("/data/replayed"),
        &json!(true)
    );
    plane.clock.advance(1);
    assert_eq!(
        generate(&plane.log_in().await, "one", "CI").await.status,
        StatusCode::CREATED
    );
    plane
        .store()
        .clean_up_repeatable_calls(START + 2 * DAY)
        .await
        .unwrap();
    let count = "SELECT COUNT(*) FROM repeatable_calls";
    let count: i64 = sqlx::query_scalar(count)
        .fetch_one(&plane.pool().await)
        .await
        .unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn calls_at_once_have_one_effect() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let make = || generate(&client, "one", "CI");
    let answers = tokio::join!(make(), make(), make(), make(), make());
    let answers = [answers.0, answers.1, answers.2, answers.3, answers.4];
    let made = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::CREATED)
        .count();
    let replayed = answers
        .iter()
        .filter(|answer| answer.body["data"]["replayed"] == json!(true))
        .count();
    assert_eq!((made, replayed), (1, 4), "{answers:?}");
}

#[tokio::test]
async fn malformed_idempotency_key_is_named() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for key in [&"x".repeat(256), "a b", ""] {
        generate(&client, key, "CI")
            .await
            .refused_by(400, "invalid_request", "Idempotency-Key");
    }
    assert_eq!(client.total().await, 0);
}

#[tokio::test]
async fn repeatable_call_records_no_secret() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let made = generate(&client, "an-idempotency-key", "CI").await;
    call(
        &client,
        "an-idempotency-key",
        "/v1/webhooks",
        &json!({"url": "https://example.com/hook"}),
    )
    .await;
    let rows: Vec<(String, String, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT call, data, key_hash, body_hash FROM repeatable_calls")
            .fetch_all(&plane.pool().await)
            .await
            .unwrap();
    assert_eq!(rows.len(), 2);
    for (call, data, key_hash, body_hash) in rows {
        for secret in [
            made.text("/data/api_key").as_str(),
            "an-idempotency-key",
            "whsec_",
        ] {
            assert!(!data.contains(secret) && !call.contains(secret), "{data}");
        }
        assert_eq!((key_hash.len(), body_hash.len()), (32, 32));
    }
}

#[tokio::test]
async fn recorded_calls_are_bounded_per_account() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (account, _) = plane.owner().await;
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
         INSERT INTO repeatable_calls (account_id, caller_id, call, key_hash, body_hash, data, bytes, made_at) \
         SELECT ?, 'usr_x', 'POST /', i, '', '{}', 2, ? FROM n";
    sqlx::query(fill)
        .bind(account)
        .bind(START)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    generate(&client, "one", "CI")
        .await
        .refused(403, "idempotency_limit");
    assert_eq!(client.total().await, 0);
    client.key("CI").await;
    plane.clock.advance(DAY);
    assert_eq!(
        generate(&plane.log_in().await, "one", "CD").await.status,
        StatusCode::CREATED
    );
}
