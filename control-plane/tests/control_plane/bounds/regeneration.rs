//! Tests that a key gains nothing by regenerating itself, and that its old secret only repeats that
//! call.

use super::{manager, too_much};
use crate::harness::Plane;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn regenerated_key_does_not_extend_itself() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, path) = manager(
        &plane,
        &admin,
        json!({"expires_at": "2027-01-16T08:00:00Z"}),
    )
    .await;
    let path = format!("{path}/regenerate");
    for overlap in [0, 600] {
        for expires_at in [json!("2027-01-16T08:00:01Z"), Value::Null] {
            let body = json!({"overlap_seconds": overlap, "expires_at": expires_at});
            too_much(&key.send(Method::POST, &path, body).await, "expires_at");
        }
    }
    let sooner = json!({"overlap_seconds": 600, "expires_at": "2027-01-16T07:00:00Z"});
    assert_eq!(
        key.send(Method::POST, &path, sooner).await.status,
        StatusCode::OK
    );
}

/// The key may repeat the call that replaced the secret, and make no other.
#[tokio::test]
async fn old_secret_only_repeats_its_regeneration() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, path) = manager(&plane, &admin, json!({})).await;
    let path = format!("{path}/regenerate");
    let first = key
        .send(Method::POST, &path, json!({"overlap_seconds": 600}))
        .await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    // The response was lost.
    too_much(
        &key.send(Method::POST, &path, json!({})).await,
        "expires_at",
    );
    let again = key
        .send(Method::POST, &path, json!({"overlap_seconds": 600}))
        .await;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
    plane
        .bearer(&first.text("/data/api_key"))
        .get("/v1/keys")
        .await
        .refused(401, "invalid_key");
    assert_eq!(
        plane
            .bearer(&again.text("/data/api_key"))
            .get("/v1/keys")
            .await
            .status,
        StatusCode::OK
    );
    // The new secret was used.
    key.send(Method::POST, &path, json!({"overlap_seconds": 600}))
        .await
        .refused(409, "overlap_running");
}

#[tokio::test]
async fn old_secret_makes_nothing_longer_lived() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, path) = manager(&plane, &admin, json!({"roles": ["admin"]})).await;
    let id = path.strip_prefix("/v1/keys/").unwrap();
    admin.regenerate(id, 600).await;
    let made = key.generate(json!({"name": "made"})).await;
    assert_eq!(made.text("/data/expires_at"), "2027-01-15T08:10:00Z");
    too_much(
        &key.generate(json!({"name": "longer", "expires_at": "2027-01-15T08:10:01Z"}))
            .await,
        "expires_at",
    );
    let answer = key
        .send(
            Method::POST,
            "/v1/webhooks",
            json!({"url": "https://webhooks.invalid/"}),
        )
        .await;
    answer.refused(403, "missing_permission");
}
