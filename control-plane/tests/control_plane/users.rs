//! Tests `/v1/users`: permitted changes, and that permissions limit other users and own keys.

mod authority;

use crate::harness::{EMAIL, PASSWORD, Plane};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn new_user_can_log_in() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let sub = client.subaccount("dev").await;
    let body = json!({
        "email": " Zoe@Example.com ", "password": PASSWORD, "roles": ["dns_manager"], "permissions": ["vm:read"],
        "subaccounts": [sub],
    });
    let made = client.send(Method::POST, "/v1/users", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.text("/data/user_id");
    assert!(id.starts_with("usr_"), "{id}");
    let expected = json!({
        "user_id": id, "email": "zoe@example.com", "roles": ["dns_manager"], "permissions": ["vm:read"],
        "subaccounts": [sub], "disabled": false, "created_at": "2027-01-15T08:00:00Z",
    });
    assert_eq!(made.at("/data"), &expected);
    assert_eq!(
        client.get(&format!("/v1/users/{id}")).await.at("/data"),
        &expected
    );
    let first = client.get("/v1/users?limit=1").await;
    let listed = client
        .get(&format!(
            "/v1/users?limit=1&cursor={}",
            first.text("/data/next_cursor")
        ))
        .await;
    assert_eq!(
        listed.at("/data"),
        &json!({"users": [expected], "total": 2, "total_is_estimate": false, "next_cursor": null})
    );
    assert_eq!(first.at("/data/users/0/email"), EMAIL);
    assert_eq!(first.at("/data/users/0/roles"), &json!(["admin"]));
    assert_eq!(first.at("/data/users/0/subaccounts"), "all");
    assert_eq!(
        plane.log_in_as("zoe@example.com", PASSWORD).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn invalid_user_is_refused_by_field() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = client.user("zoe@localhost", json!({})).await;
    let long = format!("{}@localhost", "x".repeat(250));
    for (change, field) in [
        (json!({"email": "zoe"}), "email"),
        (json!({"email": "@localhost"}), "email"),
        (json!({"email": "a b@localhost"}), "email"),
        (json!({"email": "a@b@c"}), "email"),
        (json!({"email": long}), "email"),
        (json!({"password": "x".repeat(11)}), "password"),
        (json!({"roles": ["root"]}), "roles[0]"),
        (json!({"roles": null}), "roles"),
        (json!({"permissions": ["dns:"]}), "permissions[0]"),
        (json!({"permissions": vec!["dns:read"; 257]}), "permissions"),
        (
            json!({"subaccounts": ["sub_000000000000"]}),
            "subaccounts[0]",
        ),
        (json!({"subaccounts": "some"}), "subaccounts"),
        (json!({"name": "Zoe"}), "name"),
    ] {
        client
            .patch(&path, change.clone())
            .await
            .refused_by(400, "invalid_request", field);
        if field == "roles" {
            continue;
        }
        let mut body = json!({"email": "new@localhost", "password": PASSWORD});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = client.send(Method::POST, "/v1/users", body).await;
        answer.refused_by(400, "invalid_request", field);
        assert!(
            !answer.body.to_string().contains(&"x".repeat(11)),
            "a response contains a password"
        );
    }
    for field in ["email", "password"] {
        let mut body = json!({"email": "new@localhost", "password": PASSWORD});
        body.as_object_mut().unwrap().remove(field);
        client
            .send(Method::POST, "/v1/users", body)
            .await
            .refused_by(400, "invalid_request", field);
    }
    let taken = json!({"email": "ZOE@localhost", "password": PASSWORD});
    client
        .send(Method::POST, "/v1/users", taken)
        .await
        .refused_by(409, "email_taken", "email");
    client
        .patch(&path, json!({"email": EMAIL}))
        .await
        .refused_by(409, "email_taken", "email");
    assert_eq!(client.get("/v1/users").await.number("/data/total"), 2);
}

#[tokio::test]
async fn an_account_keeps_an_administrator() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let sub = admin.subaccount("dev").await;
    let path = format!("/v1/users/{}", plane.owner().await.1);
    let narrowing = [
        json!({"disabled": true}),
        json!({"roles": ["read_only_admin"]}),
        json!({"roles": []}),
        json!({"subaccounts": [sub]}),
    ];
    // None of these users can undo what the administrator does.
    admin
        .user("disabled@localhost", json!({"roles": ["admin"]}))
        .await;
    let disabled = admin
        .get("/v1/users?search=disabled")
        .await
        .text("/data/users/0/user_id");
    assert_eq!(
        admin
            .patch(&format!("/v1/users/{disabled}"), json!({"disabled": true}))
            .await
            .status,
        StatusCode::OK
    );
    admin
        .user(
            "kept@localhost",
            json!({"roles": ["admin"], "subaccounts": [sub]}),
        )
        .await;
    admin
        .user("reader@localhost", json!({"roles": ["read_only_admin"]}))
        .await;
    let revision = plane.store().revision();
    for change in &narrowing {
        admin
            .patch(&path, change.clone())
            .await
            .refused(409, "last_administrator");
    }
    assert_eq!(plane.store().revision(), revision);
    assert_eq!(
        admin.get(&path).await.at("/data/roles"),
        &json!(["admin"]),
        "the session goes on"
    );
    let same = admin
        .patch(&path, json!({"roles": [], "permissions": ["*"]}))
        .await;
    assert_eq!(
        same.status,
        StatusCode::OK,
        "it is everything still: {same:?}"
    );

    admin
        .user("second@localhost", json!({"roles": ["admin"]}))
        .await;
    assert_eq!(
        admin.patch(&path, json!({"disabled": true})).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn former_email_is_not_accepted() {
    let mut plane = Plane::start().await;
    let admin = plane.log_in().await;
    let path = format!("/v1/users/{}", plane.owner().await.1);
    admin.patch(&path, json!({"email": "root@localhost"})).await;
    plane.restart().await;
    plane
        .log_in_as(EMAIL, PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    assert_eq!(
        plane
            .client("root@localhost")
            .await
            .get("/v1/users")
            .await
            .number("/data/total"),
        1
    );
}

/// The start is the control plane's next one.
#[tokio::test]
async fn missing_administrator_is_added_at_start() {
    let mut plane = Plane::start().await;
    plane
        .log_in()
        .await
        .user("zoe@localhost", json!({"roles": ["read_only_admin"]}))
        .await;
    let pool = plane.pool().await;
    let disable = "UPDATE users SET disabled = TRUE, email = 'gone@localhost' WHERE email = ?";
    sqlx::query(disable)
        .bind(EMAIL)
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    plane.restart().await;
    assert_eq!(
        plane
            .log_in()
            .await
            .get("/v1/users")
            .await
            .number("/data/total"),
        3
    );
}

/// A changed password ends the sessions as well.
#[tokio::test]
async fn disabled_user_loses_all_sessions() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let path = admin
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let client = plane.client("zoe@localhost").await;
    assert_eq!(
        admin
            .patch(&path, json!({"permissions": ["vm:read"]}))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(client.get("/v1/keys").await.status, StatusCode::OK);
    for disabled in [true, false] {
        let answer = admin.patch(&path, json!({"disabled": disabled})).await;
        assert_eq!(answer.at("/data/disabled"), disabled);
        client.get("/v1/keys").await.refused(401, "invalid_session");
    }
    let client = plane.client("zoe@localhost").await;
    admin
        .patch(&path, json!({"password": "another password"}))
        .await;
    client.get("/v1/keys").await.refused(401, "invalid_session");
    plane
        .log_in_as("zoe@localhost", PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    assert_eq!(
        plane
            .log_in_as("zoe@localhost", "another password")
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn another_accounts_user_is_not_found() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let pool = plane.pool().await;
    for statement in [
        "INSERT INTO accounts (id, name, tier, created_at) VALUES ('acc_other', 'other', 'pro', 2000000000)",
        "INSERT INTO users (id, account_id, email, password_hash, created_at) \
         VALUES ('usr_other', 'acc_other', 'other@localhost', '', 2000000000)",
        "INSERT INTO subaccounts (id, account_id, name, created_at) VALUES ('sub_other', 'acc_other', 'theirs', 5)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    for id in ["usr_other", "usr_000000000000", "%ff"] {
        client
            .get(&format!("/v1/users/{id}"))
            .await
            .refused(404, "user_not_found");
        client
            .patch(&format!("/v1/users/{id}"), json!({}))
            .await
            .refused(404, "user_not_found");
    }
    assert_eq!(client.get("/v1/users").await.number("/data/total"), 1);
    client
        .delete("/v1/subaccounts/sub_other")
        .await
        .refused(404, "subaccount_not_found");
    let theirs = json!({"name": "CI", "allowed_subaccounts": ["sub_other"]});
    client
        .generate(theirs)
        .await
        .refused_by(400, "invalid_request", "allowed_subaccounts[0]");
}
