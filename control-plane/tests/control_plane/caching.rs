//! Tests `Cache-Control` of responses: no cache may keep a secret.

use crate::harness::{EMAIL, PASSWORD, Plane, imported};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

/// Makes every call whose response contains a secret.
#[tokio::test]
async fn responses_with_secrets_are_not_cached() {
    let plane = Plane::start().await;
    let log_in = plane.log_in_as(EMAIL, PASSWORD).await;
    assert_eq!(
        (
            log_in.status,
            log_in.headers[header::CACHE_CONTROL].as_bytes()
        ),
        (StatusCode::OK, &b"no-store"[..])
    );
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let regenerate = format!("/v1/keys/{id}/regenerate");
    for (path, body, secret) in [
        ("/v1/keys/generate", json!({"name": "CD"}), "/data/api_key"),
        (regenerate.as_str(), json!({}), "/data/api_key"),
        (
            "/v1/webhooks",
            json!({"url": "https://example.com/hook"}),
            "/data/secret",
        ),
        (
            "/v1/node-tokens",
            json!({"name": "edge", "node": "edge-*"}),
            "/data/node_token",
        ),
    ] {
        let answer = client.send(Method::POST, path, body).await;
        assert!(
            answer.status.is_success() && answer.at(secret).is_string(),
            "{path}: {answer:?}"
        );
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
    }
}

#[tokio::test]
async fn other_responses_are_not_cached() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let import = json!({"keys": [imported("old", "a key that was made elsewhere")]});
    for (method, path, body) in [
        (Method::GET, "/v1/keys", Value::Null),
        (Method::POST, "/v1/keys/import", import),
        (Method::POST, "/v1/keys/generate", json!({"name": 1})),
        (Method::GET, "/v1/nowhere", Value::Null),
        (Method::PUT, "/v1/keys", Value::Null),
    ] {
        let answer = client.send(method, path, body).await;
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
    }
    let nobody = plane.request(Method::GET, "/v1/keys").send().await.unwrap();
    assert_eq!(nobody.headers()[header::CACHE_CONTROL], "no-store");
    let console = plane
        .request(Method::GET, "/console/login")
        .send()
        .await
        .unwrap();
    assert_eq!(console.headers()[header::CACHE_CONTROL], "no-store");
}
