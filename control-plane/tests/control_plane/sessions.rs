//! Tests `/v1/sessions`, and how long and for what a session is valid.

use crate::harness::{Answer, EMAIL, PASSWORD, Plane};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn the_right_password_opens_a_session() {
    let plane = Plane::start().await;
    let answer = plane.log_in_as(" Admin@LocalHost ", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.text("/data/expires_at"), "2027-01-15T08:30:00Z");
    assert_eq!(answer.text("/data/user/email"), EMAIL);
    assert!(answer.text("/data/user/id").starts_with("usr_"));
    let token = answer.text("/data/token");
    assert!(token.starts_with("lks_") && token.len() == 47, "{token}");
    assert_eq!(plane.log_in().await.total().await, 0);
}

#[tokio::test]
async fn wrong_password_resembles_unknown_user() {
    let plane = Plane::start().await;
    let wrong = plane.log_in_as(EMAIL, "correct horse battery stapl").await;
    let unknown = plane.log_in_as("nobody@localhost", PASSWORD).await;
    wrong.refused(401, "invalid_credentials");
    assert_eq!((wrong.status, &wrong.body), (unknown.status, &unknown.body));
}

#[tokio::test]
async fn calls_without_a_live_session_are_refused() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for (method, path) in [
        (Method::GET, "/v1/keys"),
        (Method::POST, "/v1/keys/generate"),
        (Method::GET, "/v1/keys/key_000000000000"),
        (Method::DELETE, "/v1/keys/key_000000000000"),
        (Method::PATCH, "/v1/keys/key_000000000000"),
        (Method::GET, "/v1/users"),
        (Method::POST, "/v1/users"),
        (Method::GET, "/v1/users/usr_000000000000"),
        (Method::PATCH, "/v1/users/usr_000000000000"),
        (Method::GET, "/v1/subaccounts"),
        (Method::POST, "/v1/subaccounts"),
        (Method::DELETE, "/v1/subaccounts/sub_000000000000"),
        (Method::GET, "/v1/subaccounts/sub_000000000000"),
        (Method::PATCH, "/v1/subaccounts/sub_000000000000"),
        (Method::DELETE, "/v1/users/usr_000000000000"),
        (Method::GET, "/v1/services"),
        (Method::POST, "/v1/services"),
        (Method::GET, "/v1/services/dns"),
        (Method::PATCH, "/v1/services/dns"),
        (Method::DELETE, "/v1/services/dns"),
        (Method::GET, "/v1/accounts"),
        (Method::POST, "/v1/accounts"),
        (Method::GET, "/v1/accounts/acc_000000000000"),
        (Method::PATCH, "/v1/accounts/acc_000000000000"),
        (Method::DELETE, "/v1/accounts/acc_000000000000"),
        (Method::GET, "/v1/roles"),
        (Method::GET, "/v1/tiers"),
        (Method::PUT, "/v1/tiers"),
        (Method::GET, "/v1/routes"),
        (Method::PUT, "/v1/routes"),
        (Method::GET, "/v1/nodes"),
        (Method::DELETE, "/v1/sessions/current"),
    ] {
        let other = format!(
            "{}{}",
            &client.token[..46],
            if client.token.ends_with('x') {
                'y'
            } else {
                'x'
            }
        );
        let node = crate::harness::NODE_TOKEN;
        for token in [
            None,
            Some(""),
            Some("lks_"),
            Some(other.as_str()),
            Some(node),
        ] {
            let request = plane.request(method.clone(), path);
            let request = token.map_or(request.try_clone().unwrap(), |token| {
                request.bearer_auth(token)
            });
            let answer = Answer::to(request).await;
            answer.refused(401, "invalid_session");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn logged_out_session_is_over() {
    let plane = Plane::start().await;
    let (client, other) = (plane.log_in().await, plane.log_in().await);
    assert_eq!(
        client.delete("/v1/sessions/current").await.status,
        StatusCode::OK
    );
    client.get("/v1/keys").await.refused(401, "invalid_session");
    assert_eq!(other.get("/v1/keys").await.status, StatusCode::OK);
}

#[tokio::test]
async fn session_ends_thirty_minutes_after_use() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for _ in 0..3 {
        plane.clock.advance(30 * 60 - 1);
        assert_eq!(client.get("/v1/keys").await.status, StatusCode::OK);
    }
    // The last use is only recorded every 30 seconds: a session may end that much late, but never
    // early.
    plane.clock.advance(29);
    assert_eq!(client.get("/v1/keys").await.status, StatusCode::OK);
    plane.clock.advance(30 * 60);
    assert_eq!(client.get("/v1/keys").await.status, StatusCode::OK);
    plane.clock.advance(30 * 60 + 30);
    client.get("/v1/keys").await.refused(401, "invalid_session");
}

#[tokio::test]
async fn disabled_user_is_logged_out() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    sqlx::query("UPDATE users SET disabled = TRUE")
        .execute(&plane.pool().await)
        .await
        .unwrap();
    client.get("/v1/keys").await.refused(401, "invalid_session");
    plane
        .log_in_as(EMAIL, PASSWORD)
        .await
        .refused(401, "invalid_credentials");
}

#[tokio::test]
async fn first_password_survives_a_restart() {
    let mut plane = Plane::start_with(&["--admin-email=First@Example.com"]).await;
    let pool = plane.pool().await;
    let users = "SELECT COUNT(*) FROM users";
    plane.restart().await;
    assert_eq!(
        sqlx::query_scalar::<_, i64>(users)
            .fetch_one(&pool)
            .await
            .unwrap(),
        1
    );
    let answer = plane.log_in_as("first@example.com", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body["data"]["user"],
        json!({"id": answer.text("/data/user/id"), "email": "first@example.com"})
    );
}

#[tokio::test]
async fn password_guessing_is_slowed() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for email in [EMAIL, "nobody@localhost"] {
        for _ in 0..10 {
            plane
                .log_in_as(email, "wrong")
                .await
                .refused(401, "invalid_credentials");
        }
        plane.clock.advance(20);
        let answer = plane.log_in_as(email, PASSWORD).await;
        answer.refused(429, "too_many_requests");
        assert_eq!(answer.headers["retry-after"], "40");
    }
    assert_eq!(
        client.get("/v1/keys").await.status,
        StatusCode::OK,
        "a session goes on"
    );
    plane.clock.advance(40);
    assert_eq!(
        plane.log_in_as(EMAIL, PASSWORD).await.status,
        StatusCode::OK
    );
}
