//! Tests `/v1/users`: permitted changes, and that permissions limit other users and own keys.

use crate::harness::{EMAIL, PASSWORD, Plane};
use crate::node::Node;
use latchkey_policy::record::PolicyRecord;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn owner_grants(policy: &PolicyRecord) -> Vec<String> {
    policy
        .owner_grants
        .iter()
        .map(ToString::to_string)
        .collect()
}

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
async fn users_cannot_grant_unheld_permissions() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let [dev, prod] = [
        admin.subaccount("dev").await,
        admin.subaccount("prod").await,
    ];
    let permissions = ["account:*", "vm:read", "dns:read"];
    admin
        .user(
            "some@localhost",
            json!({"permissions": permissions, "subaccounts": [dev]}),
        )
        .await;
    let client = plane.client("some@localhost").await;
    let revision = plane.store().revision();
    for (given, code, field) in [
        (
            json!({"roles": ["dns_manager"]}),
            "missing_permission",
            "roles",
        ),
        (
            json!({"permissions": ["dns:read", "vm:*"]}),
            "missing_permission",
            "permissions",
        ),
        (
            json!({"permissions": ["*:read"]}),
            "missing_permission",
            "permissions",
        ),
        (
            json!({"allowed_subaccounts": [dev, prod]}),
            "subaccount_denied",
            "allowed_subaccounts[1]",
        ),
    ] {
        let mut key = given.clone();
        key["name"] = json!("CI");
        client.generate(key).await.refused_by(403, code, field);
        let mut user = given;
        user["email"] = json!("new@localhost");
        user["password"] = json!(PASSWORD);
        if let Some(subaccounts) = user.as_object_mut().unwrap().remove("allowed_subaccounts") {
            user["subaccounts"] = subaccounts;
        }
        let field = field.strip_prefix("allowed_").unwrap_or(field);
        client
            .send(Method::POST, "/v1/users", user)
            .await
            .refused_by(403, code, field);
    }
    let all = json!({"email": "new@localhost", "password": PASSWORD, "subaccounts": "all"});
    client
        .send(Method::POST, "/v1/users", all)
        .await
        .refused_by(403, "subaccount_denied", "subaccounts");
    assert_eq!(plane.store().revision(), revision);

    let given = json!({"name": "CI", "permissions": ["account:users:read", "dns:read"], "allowed_subaccounts": [dev]});
    assert_eq!(client.generate(given).await.status, StatusCode::CREATED);
    client
        .user("new@localhost", json!({"permissions": ["vm:read"]}))
        .await;
    let new = admin.get("/v1/users?search=new@").await;
    assert_eq!(
        new.at("/data/users/0/subaccounts"),
        &json!([dev]),
        "by default those of whoever made them"
    );
    assert!(
        client
            .generate(json!({"name": "x", "roles": ["admin"]}))
            .await
            .text("/error")
            .contains("`admin`")
    );
}

#[tokio::test]
async fn stronger_user_cannot_be_changed() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let dev = admin.subaccount("dev").await;
    let manager = json!({"permissions": ["account:users:*", "dns:*"], "subaccounts": [dev]});
    let manager_path = admin.user("manager@localhost", manager).await;
    let peer = json!({"permissions": ["dns:read"], "subaccounts": [dev]});
    let peer = admin.user("peer@localhost", peer).await;
    let everywhere = admin
        .user("everywhere@localhost", json!({"permissions": ["dns:read"]}))
        .await;
    let admin_path = format!("/v1/users/{}", plane.owner().await.1);
    let client = plane.client("manager@localhost").await;
    for change in [
        json!({"password": "a new password"}),
        json!({"disabled": true}),
        json!({"roles": []}),
        json!({}),
    ] {
        client
            .patch(&admin_path, change.clone())
            .await
            .refused(403, "missing_permission");
        client
            .patch(&everywhere, change)
            .await
            .refused(403, "subaccount_denied");
    }
    client
        .patch(&peer, json!({"permissions": ["vm:read"]}))
        .await
        .refused_by(403, "missing_permission", "permissions");
    client
        .patch(&peer, json!({"subaccounts": "all"}))
        .await
        .refused_by(403, "subaccount_denied", "subaccounts");
    client
        .patch(&manager_path, json!({"roles": ["admin"]}))
        .await
        .refused_by(403, "missing_permission", "roles");
    assert_eq!(
        client
            .patch(&peer, json!({"permissions": ["dns:*"]}))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        plane.log_in_as(EMAIL, PASSWORD).await.status,
        StatusCode::OK
    );
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

#[tokio::test]
async fn keys_lose_the_permissions_their_owner_loses() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let sub = admin.subaccount("dev").await;
    let holding = json!({"roles": ["dns_manager"], "permissions": ["account:apikeys:create"]});
    let path = admin.user("zoe@localhost", holding).await;
    let zoe = plane.client("zoe@localhost").await;
    zoe.generate(json!({"name": "hers", "roles": ["dns_manager"]}))
        .await;
    let gone = zoe
        .generate(json!({"name": "gone", "permissions": ["dns:read"]}))
        .await
        .text("/data/key_id");
    admin.delete(&format!("/v1/keys/{gone}")).await;
    admin.key("admins").await;
    let mut node = Node::ready(&plane).await;
    assert_eq!(
        owner_grants(node.snapshot.policy("hers")),
        ["account:apikeys:create", "dns:*"]
    );
    let before = node.snapshot.policy("admins").clone();

    for (change, expected) in [
        (json!({"roles": []}), vec!["account:apikeys:create"]),
        (json!({"permissions": ["cache:*"]}), vec!["cache:*"]),
    ] {
        let (answer, batches) = tokio::join!(admin.patch(&path, change), node.publish());
        assert_eq!(
            (answer.status, answer.enforcement()),
            (StatusCode::OK, (1, 1))
        );
        let [batch] = batches.as_slice() else {
            panic!("{batches:?}")
        };
        assert!(
            batch.keys.is_empty() && batch.removed_policies.is_empty() && batch.routes.is_empty(),
            "{batch:?}"
        );
        let policy = node.snapshot.policy("hers");
        assert_eq!(owner_grants(policy), expected);
        assert_eq!(
            policy
                .grants
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["dns:*"]
        );
    }
    tokio::join!(
        admin.patch(&path, json!({"subaccounts": []})),
        node.publish()
    );
    let policy = node.snapshot.policy("hers");
    assert!(
        policy.confined && policy.subaccounts.is_empty(),
        "{policy:?}"
    );
    tokio::join!(
        admin.patch(&path, json!({"disabled": true, "subaccounts": "all"})),
        node.publish()
    );
    let policy = node.snapshot.policy("hers");
    assert!(
        policy.owner_disabled && !policy.confined && policy.subaccounts == [sub],
        "{policy:?}"
    );
    assert_eq!(node.snapshot.policy("admins"), &before);

    // A change without an effect on keys is not sent to nodes.
    let (_, batches) = tokio::join!(
        admin.patch(&path, json!({"email": "zoe@example.com"})),
        node.publish()
    );
    assert!(
        batches.iter().all(|batch| batch.policies.is_empty()),
        "{batches:?}"
    );
}

#[tokio::test]
async fn every_user_sees_roles_and_tiers() {
    let plane = Plane::start().await;
    plane.log_in().await.user("zoe@localhost", json!({})).await;
    let zoe = plane.client("zoe@localhost").await;
    assert_eq!(
        zoe.get("/v1/tiers").await.text("/data/tiers/0/name"),
        "free"
    );
    let answer = zoe.get("/v1/roles").await;
    let roles: Vec<Value> = [
        ("admin", "*"),
        ("read_only_admin", "*:read"),
        ("billing_manager", "billing:*"),
        ("cache_purger", "cache:purge"),
        ("dns_manager", "dns:*"),
        ("security_manager", "security:*"),
        ("traffic_manager", "traffic:*"),
        ("insights_analyst", "analytics:read"),
    ]
    .map(|(name, pattern)| json!({"name": name, "permissions": [pattern]}))
    .into();
    assert_eq!(answer.at("/data/roles"), &json!(roles));
}
