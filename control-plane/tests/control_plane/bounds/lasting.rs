//! Tests each changing call of `/openapi.json` with a restricted key, except the calls about keys.

use crate::harness::{Client, PASSWORD, Plane};
use crate::openapi::{calls, description};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Calls that a restricted key may not make. They create or edit something permanent that is not
/// restricted like the key, or remove its restrictions.
const REFUSED: [&str; 10] = [
    "createUser",
    "editUser",
    "createAccount",
    "editAccount",
    "putTiers",
    "putRoutes",
    "createWebhook",
    "editWebhook",
    "rotateWebhookSecret",
    "createNodeToken",
];

/// Calls about keys, which are restricted for each attribute.
const BOUNDED: [&str; 4] = ["generateKey", "importKeys", "editKey", "regenerateKey"];

/// Calls that give nobody anything usable instead of the key: they remove or describe something, or
/// configure only what their permission is for.
const PERMITTED: [&str; 20] = [
    "revokeKey",
    "deleteUser",
    "closeAccount",
    "deleteWebhook",
    "testWebhook",
    "redeliverWebhookDelivery",
    "revokeNodeToken",
    "createSubaccount",
    "editSubaccount",
    "deleteSubaccount",
    "createService",
    "editService",
    "deleteService",
    "forgetNode",
    "forgetLostNodes",
    "acceptEpoch",
    "explainRequest",
    // These calls require a session or a password.
    "logIn",
    "logOut",
    "changePassword",
];

/// Returns the path and a valid body of each call that a restricted key may not make.
fn example(id: &str, objects: &Objects) -> (Method, String, Value) {
    let admin = json!({"email": "new@acme", "password": PASSWORD});
    let (method, path, body) = match id {
        "createUser" => (
            Method::POST,
            "/v1/users".to_owned(),
            json!({"email": "new@localhost", "password": PASSWORD}),
        ),
        "editUser" => (
            Method::PATCH,
            objects.user.clone(),
            json!({"password": "another password"}),
        ),
        "createAccount" => (
            Method::POST,
            "/v1/accounts".to_owned(),
            json!({"name": "acme", "tier": "free", "admin": admin}),
        ),
        "editAccount" => (
            Method::PATCH,
            objects.account.clone(),
            json!({"tier": "enterprise"}),
        ),
        "putTiers" => (Method::PUT, "/v1/tiers".to_owned(), objects.tiers.clone()),
        "putRoutes" => (
            Method::PUT,
            "/v1/routes".to_owned(),
            json!({"unmatched": "valid_key", "rules": []}),
        ),
        "createWebhook" => (
            Method::POST,
            "/v1/webhooks".to_owned(),
            json!({"url": "https://webhooks.invalid/"}),
        ),
        "editWebhook" => (
            Method::PATCH,
            objects.webhook.clone(),
            json!({"url": "https://webhooks.invalid/other"}),
        ),
        "rotateWebhookSecret" => (
            Method::POST,
            format!("{}/rotate-secret", objects.webhook),
            json!({}),
        ),
        "createNodeToken" => (
            Method::POST,
            "/v1/node-tokens".to_owned(),
            json!({"name": "edge", "node": "*"}),
        ),
        id => panic!("{id} needs an example"),
    };
    (method, path, body)
}

struct Objects {
    user: String,
    account: String,
    webhook: String,
    tiers: Value,
}

/// The kinds of restrictions of a key, in ascending order.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum KeptTo {
    /// Restrictions only on keys that it creates.
    Keys,
    /// Restrictions on its callers and on the time.
    Callers,
    /// Restrictions on the content of requests.
    Requests,
}

/// Returns the lowest kind of restriction with which the call is refused.
fn refused_from(id: &str) -> KeptTo {
    match id {
        "putRoutes" => KeptTo::Requests,
        "createWebhook" | "editWebhook" | "rotateWebhookSecret" | "createNodeToken" => {
            KeptTo::Callers
        }
        _ => KeptTo::Keys,
    }
}

async fn key<'a>(plane: &'a Plane, admin: &Client<'_>, name: &str, more: Value) -> Client<'a> {
    let mut body = json!({"name": name, "roles": ["admin"], "tier": "enterprise"});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let answer = admin.generate(body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    plane.bearer(&answer.text("/data/api_key"))
}

/// Checks every call as a restricted key would make it.
#[tokio::test]
async fn changing_calls_are_bounded_or_harmless() {
    let plane = Plane::start().await;
    let changing = calls(&description(&plane).await)
        .into_iter()
        .filter(|call| call.method != Method::GET);
    let changing: BTreeSet<_> = changing.map(|call| call.id).collect();
    let known = [&REFUSED[..], &BOUNDED, &PERMITTED].concat();
    let listed: BTreeSet<_> = known.iter().map(ToString::to_string).collect();
    let unlisted: Vec<_> = changing.symmetric_difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "decide what a restricted key may do, in one of the lists above: {unlisted:?}"
    );
    assert_eq!(known.len(), changing.len(), "a call is listed twice");
}

#[tokio::test]
async fn restricted_key_makes_only_restricted_things() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let dev = admin.subaccount("dev").await;
    let webhook = json!({"url": "https://webhooks.invalid/"});
    let webhook = admin
        .send(Method::POST, "/v1/webhooks", webhook)
        .await
        .text("/data/webhook_id");
    let objects = Objects {
        user: admin.user("zoe@localhost", json!({})).await,
        account: admin.account("other", json!({})).await.0,
        webhook: format!("/v1/webhooks/{webhook}"),
        tiers: admin.get("/v1/tiers").await.at("/data").clone(),
    };
    for (name, restriction, kept_to) in [
        (
            "some services",
            json!({"scope": ["latchkey"]}),
            KeptTo::Requests,
        ),
        (
            "some subaccounts",
            json!({"allowed_subaccounts": [dev]}),
            KeptTo::Requests,
        ),
        (
            "a limited lifetime",
            json!({"expires_at": 1_900_000_000}),
            KeptTo::Callers,
        ),
        (
            "some client addresses",
            json!({"allowed_ips": ["0.0.0.0/0", "::/0"]}),
            KeptTo::Callers,
        ),
        (
            "some client addresses",
            json!({"denied_ips": ["192.0.2.1"]}),
            KeptTo::Callers,
        ),
        (
            "the environment `test`",
            json!({"environment": "test"}),
            KeptTo::Keys,
        ),
        (
            "limits of its own",
            json!({"limits": {"month": 5}}),
            KeptTo::Keys,
        ),
        (
            "a tier below the highest",
            json!({"tier": "pro"}),
            KeptTo::Keys,
        ),
        (
            "its own `issues` settings",
            json!({"issues": {"tier": "free"}}),
            KeptTo::Keys,
        ),
        (
            "its own `issues` settings",
            json!({"issues": {"tier": "enterprise"}}),
            KeptTo::Keys,
        ),
    ] {
        let key = key(
            &plane,
            &admin,
            &restriction.to_string(),
            restriction.clone(),
        )
        .await;
        for id in REFUSED.into_iter().filter(|id| refused_from(id) <= kept_to) {
            let (method, path, body) = example(id, &objects);
            let answer = key.send(method, &path, body).await;
            answer.refused(403, "missing_permission");
            let error = answer.text("/error");
            assert!(
                error.starts_with(&format!("Your API key is restricted to {name}")),
                "{id} {restriction}: {error}"
            );
        }
    }
    // A list with only disabled entries is no restriction.
    let free = json!({"allowed_ips": [{"cidr": "192.0.2.1", "enabled": false}]});
    let free = key(&plane, &admin, "free", free).await;
    for id in REFUSED {
        let (method, path, body) = example(id, &objects);
        let answer = free.send(method, &path, body).await;
        assert!(answer.status.is_success(), "{id}: {answer:?}");
    }
}
