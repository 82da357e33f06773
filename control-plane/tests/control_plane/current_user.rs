//! Tests the calls with which callers read and change their own data.

use crate::harness::{PASSWORD, Plane};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test]
async fn caller_sees_its_own_identity() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let myself = admin.get("/v1/sessions/current").await;
    assert_eq!(
        (myself.at("/data/operator"), myself.at("/data/permissions")),
        (&json!(true), &json!(["*"]))
    );
    let key = admin
        .generate(json!({"name": "CI", "permissions": ["dns:read"]}))
        .await;
    let of_key = plane
        .bearer(&key.text("/data/api_key"))
        .get("/v1/sessions/current")
        .await;
    assert_eq!(of_key.at("/data/key_id"), key.at("/data/key_id"));
    assert_eq!(
        (of_key.at("/data/permissions"), of_key.at("/data/user_id")),
        (&json!(["dns:read"]), myself.at("/data/user_id"))
    );
    // A key is not a session, and cannot end one.
    plane
        .bearer(&key.text("/data/api_key"))
        .delete("/v1/sessions/current")
        .await
        .refused(401, "invalid_session");
}

#[tokio::test]
async fn caller_sees_its_grantable_permissions() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let rules = json!({"rules": [
        {"path": {"exact": "/a"}, "permission": "dns:read"},
        {"path": {"exact": "/b"}, "permission": "dns:write"},
        {"path": {"exact": "/c"}, "permission": "vm:read"},
    ]});
    assert_eq!(admin.put("/v1/routes", rules).await.status, StatusCode::OK);
    let dev = admin.subaccount("dev").await;
    let holding = json!({"roles": ["dns_manager"], "permissions": ["account:apikeys:read"], "subaccounts": [dev]});
    admin.user("dns@localhost", holding).await;
    let reported = plane
        .client("dns@localhost")
        .await
        .get("/v1/keys/allowed-permissions")
        .await;
    assert_eq!(
        reported.at("/data/permissions"),
        &json!(["account:apikeys:read", "dns:read", "dns:write"])
    );
    assert_eq!(
        reported.at("/data/patterns"),
        &json!(["account:apikeys:read", "dns:*"])
    );
    assert_eq!(
        (reported.at("/data/roles"), reported.at("/data/subaccounts")),
        (&json!(["dns_manager"]), &json!([dev]))
    );
    let reported = admin.get("/v1/keys/allowed-permissions").await;
    assert_eq!(reported.at("/data/roles").as_array().unwrap().len(), 8);
    assert!(
        reported
            .at("/data/permissions")
            .as_array()
            .unwrap()
            .contains(&json!("gateway:accounts:create"))
    );
}

#[tokio::test]
async fn changed_password_logs_out_elsewhere() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    admin.user("dev@localhost", json!({})).await;
    let (here, elsewhere) = (
        plane.client("dev@localhost").await,
        plane.client("dev@localhost").await,
    );
    let change =
        |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let path = "/v1/users/me/password";
    let refused = here
        .put(path, change("a wrong password", "another password"))
        .await;
    refused.refused_by(400, "invalid_request", "current_password");
    here.put(path, change(PASSWORD, "too short"))
        .await
        .refused_by(400, "invalid_request", "new_password");
    assert_eq!(
        here.put(path, change(PASSWORD, "another password"))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(here.get("/v1/roles").await.status, StatusCode::OK);
    elsewhere
        .get("/v1/roles")
        .await
        .refused(401, "invalid_session");
    plane
        .log_in_as("dev@localhost", PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    assert_eq!(
        plane
            .log_in_as("dev@localhost", "another password")
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn changing_own_password_needs_the_current_one() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let id = admin
        .get("/v1/sessions/current")
        .await
        .text("/data/user_id");
    let edited = admin
        .patch(
            &format!("/v1/users/{id}"),
            json!({"password": "another password"}),
        )
        .await;
    edited.refused_by(400, "invalid_request", "password");
}

#[tokio::test]
async fn session_cannot_guess_the_password() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let change =
        json!({"current_password": "a wrong password", "new_password": "another password"});
    for _ in 0..10 {
        admin
            .put("/v1/users/me/password", change.clone())
            .await
            .refused(400, "invalid_request");
    }
    admin
        .put("/v1/users/me/password", change)
        .await
        .refused(429, "too_many_requests");
}
