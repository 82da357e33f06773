//! Tests the permission of each call: without it the call changes nothing, and with it no other
//! permission is needed.

use crate::harness::{PASSWORD, Plane, imported};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn every_call_takes_its_permission() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let path = admin.user("zoe@localhost", json!({})).await;
    let client = plane.client("zoe@localhost").await;
    let [revoked, edited] = [admin.key("revoked").await, admin.key("edited").await];
    let sub = admin.subaccount("dev").await;
    let gone = admin.user("gone@localhost", json!({})).await;
    admin.service("cdn").await;
    let (account, _) = admin.account("other", json!({})).await;
    let new_account =
        json!({"name": "x", "tier": "free", "admin": {"email": "x@x", "password": PASSWORD}});
    let tiers = admin.get("/v1/tiers").await.at("/data").clone();
    let user = json!({"email": "new@localhost", "password": PASSWORD});
    let url = json!({"url": "https://receiver.invalid/"});
    let webhook = admin
        .send(Method::POST, "/v1/webhooks", url.clone())
        .await
        .text("/data/webhook_id");
    let webhook = format!("/v1/webhooks/{webhook}");
    let delivery = admin
        .send(Method::POST, &format!("{webhook}/test"), Value::Null)
        .await
        .text("/data/delivery_id");
    let token = json!({"name": "other", "node": "*"});
    let edge = json!({"name": "edge", "node": "*"});
    assert_eq!(
        admin
            .send(Method::POST, "/v1/node-tokens", edge)
            .await
            .status,
        201
    );
    let none = Value::Null;
    for (method, path_of_call, body, permission) in [
        (
            Method::POST,
            "/v1/keys/generate",
            json!({"name": "CI"}),
            "account:apikeys:create",
        ),
        (
            Method::POST,
            "/v1/keys/import",
            json!({"keys": [imported("old", "sk-0")]}),
            "account:apikeys:create",
        ),
        (
            Method::POST,
            &format!("/v1/keys/{edited}/regenerate"),
            json!({}),
            "account:apikeys:update",
        ),
        (
            Method::GET,
            "/v1/keys",
            none.clone(),
            "account:apikeys:read",
        ),
        (
            Method::GET,
            &format!("/v1/keys/{edited}"),
            none.clone(),
            "account:apikeys:read",
        ),
        (
            Method::PATCH,
            &format!("/v1/keys/{edited}"),
            json!({"name": "new"}),
            "account:apikeys:update",
        ),
        (
            Method::DELETE,
            &format!("/v1/keys/{revoked}"),
            none.clone(),
            "account:apikeys:delete",
        ),
        (Method::GET, "/v1/users", none.clone(), "account:users:read"),
        (Method::GET, &path, none.clone(), "account:users:read"),
        (Method::POST, "/v1/users", user, "account:users:create"),
        (
            Method::PATCH,
            &path,
            json!({"email": "z@localhost"}),
            "account:users:update",
        ),
        (Method::DELETE, &gone, none.clone(), "account:users:delete"),
        (
            Method::GET,
            "/v1/subaccounts",
            none.clone(),
            "account:subaccounts:read",
        ),
        (
            Method::GET,
            &format!("/v1/subaccounts/{sub}"),
            none.clone(),
            "account:subaccounts:read",
        ),
        (
            Method::PATCH,
            &format!("/v1/subaccounts/{sub}"),
            json!({"name": "new"}),
            "account:subaccounts:update",
        ),
        (
            Method::POST,
            "/v1/subaccounts",
            json!({"name": "prod"}),
            "account:subaccounts:create",
        ),
        (
            Method::DELETE,
            &format!("/v1/subaccounts/{sub}"),
            none.clone(),
            "account:subaccounts:delete",
        ),
        (
            Method::GET,
            "/v1/services",
            none.clone(),
            "account:services:read",
        ),
        (
            Method::GET,
            "/v1/services/cdn",
            none.clone(),
            "account:services:read",
        ),
        (
            Method::POST,
            "/v1/services",
            json!({"name": "dns"}),
            "account:services:create",
        ),
        (
            Method::PATCH,
            "/v1/services/cdn",
            json!({"description": "new"}),
            "account:services:update",
        ),
        (
            Method::DELETE,
            "/v1/services/cdn",
            none.clone(),
            "account:services:delete",
        ),
        (
            Method::GET,
            "/v1/accounts",
            none.clone(),
            "gateway:accounts:read",
        ),
        (Method::GET, &account, none.clone(), "gateway:accounts:read"),
        (
            Method::PATCH,
            &account,
            json!({"name": "new"}),
            "gateway:accounts:update",
        ),
        (
            Method::DELETE,
            &account,
            none.clone(),
            "gateway:accounts:delete",
        ),
        (
            Method::GET,
            "/v1/routes",
            none.clone(),
            "gateway:routes:read",
        ),
        (
            Method::PUT,
            "/v1/routes",
            json!({"rules": []}),
            "gateway:routes:update",
        ),
        (Method::PUT, "/v1/tiers", tiers, "gateway:tiers:update"),
        (
            Method::GET,
            "/v1/webhooks",
            none.clone(),
            "account:webhooks:read",
        ),
        (Method::GET, &webhook, none.clone(), "account:webhooks:read"),
        (
            Method::GET,
            &format!("{webhook}/deliveries"),
            none.clone(),
            "account:webhooks:read",
        ),
        (Method::POST, "/v1/webhooks", url, "account:webhooks:create"),
        (
            Method::POST,
            &format!("{webhook}/test"),
            none.clone(),
            "account:webhooks:update",
        ),
        (
            Method::POST,
            &format!("{webhook}/deliveries/{delivery}/redeliver"),
            none.clone(),
            "account:webhooks:update",
        ),
        (
            Method::POST,
            &format!("{webhook}/rotate-secret"),
            json!({}),
            "account:webhooks:update",
        ),
        (
            Method::PATCH,
            &webhook,
            json!({"active": false}),
            "account:webhooks:update",
        ),
        (
            Method::DELETE,
            &webhook,
            none.clone(),
            "account:webhooks:delete",
        ),
        (
            Method::GET,
            "/v1/node-tokens",
            none.clone(),
            "gateway:nodetokens:read",
        ),
        (
            Method::POST,
            "/v1/node-tokens",
            token,
            "gateway:nodetokens:create",
        ),
        (
            Method::DELETE,
            "/v1/node-tokens/edge",
            none.clone(),
            "gateway:nodetokens:delete",
        ),
        (Method::GET, "/v1/nodes", none, "gateway:nodes:read"),
    ] {
        let (group, _) = permission.rsplit_once(':').unwrap();
        let revision = plane.store().revision();
        admin
            .patch(
                &path,
                json!({"permissions": [format!("{group}:other"), "vm:*"]}),
            )
            .await;
        let refused = client
            .send(method.clone(), path_of_call, body.clone())
            .await;
        refused.refused(403, "missing_permission");
        assert!(
            refused.text("/error").contains(&format!("`{permission}`")),
            "{refused:?}"
        );
        assert_eq!(
            plane.store().revision(),
            revision + 1,
            "{method} {path_of_call}"
        );

        admin
            .patch(&path, json!({"permissions": [permission]}))
            .await;
        let answer = client.send(method.clone(), path_of_call, body).await;
        assert!(
            answer.status.is_success(),
            "{method} {path_of_call}: {answer:?}"
        );
    }

    // Creating an account creates an administrator with all permissions.
    for (held, status) in [("gateway:accounts:create", 403), ("*", 201)] {
        admin.patch(&path, json!({"permissions": [held]})).await;
        let answer = client
            .send(Method::POST, "/v1/accounts", new_account.clone())
            .await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}
