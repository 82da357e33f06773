//! Tests that users grant and change no more than their own permissions allow.

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
