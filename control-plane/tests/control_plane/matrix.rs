//! Tests the permissions of every call of `/openapi.json` with every kind of caller, against the
//! call's description. A call that is not described cannot be routed, so no call can be missing
//! here. A call without a credential must be in [`PUBLIC`], and one with a body or an id in its
//! path needs an example.

use crate::harness::{EMAIL, PASSWORD, Plane};
use crate::openapi::{Call, calls, description};
use latchkey_policy::permission::roles::{ROLES, patterns};
use latchkey_policy::permission::{Pattern, Permission};
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The ids of calls that require no credential.
const PUBLIC: [&str; 6] = [
    "getDescription",
    "getMetrics",
    "isAlive",
    "isReady",
    "isStreamReady",
    "logIn",
];

/// Calls about a session or a password, which an API key does not have.
const OF_SESSIONS: [&str; 2] = ["changePassword", "logOut"];

/// The resources that the calls use.
struct Objects {
    key: String,
    user: String,
    subaccount: String,
    service: String,
    account: String,
    webhook: String,
    node_token: String,
}

impl Objects {
    async fn make(plane: &Plane) -> Self {
        let admin = plane.log_in().await;
        let user = admin.user("acted-on@localhost", json!({})).await;
        let made = async |path, id, body| {
            let answer = admin.send(Method::POST, path, body).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
            answer.text(id)
        };
        let of_account = json!({"email": "theirs@localhost", "password": PASSWORD});
        let account = json!({"name": "acted on", "tier": "free", "admin": of_account});
        Self {
            key: admin.key("acted on").await,
            user: user.strip_prefix("/v1/users/").unwrap().to_owned(),
            subaccount: admin.subaccount("acted on").await,
            service: made("/v1/services", "/data/name", json!({"name": "acted-on"})).await,
            account: made("/v1/accounts", "/data/account_id", account).await,
            node_token: made(
                "/v1/node-tokens",
                "/data/name",
                json!({"name": "acted-on-too", "node": "*"}),
            )
            .await,
            webhook: made(
                "/v1/webhooks",
                "/data/webhook_id",
                json!({"url": "https://webhooks.invalid/"}),
            )
            .await,
        }
    }

    /// Returns the call's path, with the ids of existing resources.
    fn path(&self, call: &Call) -> String {
        let name = if call.id == "revokeNodeToken" {
            &self.node_token
        } else {
            &self.service
        };
        let path = call
            .path
            .replace("{key_id}", &self.key)
            .replace("{user_id}", &self.user);
        let path = path
            .replace("{subaccount_id}", &self.subaccount)
            .replace("{name}", name);
        let path = path
            .replace("{account_id}", &self.account)
            .replace("{webhook_id}", &self.webhook);
        let path = path
            .replace("{handle}", "000000000000")
            .replace("{delivery_id}", "msg_000000000000");
        assert!(
            !path.contains('{'),
            "{} needs an example of what is in its path, {path}",
            call.id
        );
        path
    }
}

/// Returns a valid body without an effect: it is refused later, or sets values that are already
/// set.
fn body(call: &Call) -> Option<Value> {
    call.operation.get("requestBody")?;
    Some(match call.id.as_str() {
        "logIn" => json!({"email": EMAIL, "password": PASSWORD}),
        "generateKey" | "createSubaccount" | "createService" => json!({"name": ""}),
        "createAccount" => json!({"name": "", "tier": "", "admin": {"email": "", "password": ""}}),
        "createWebhook" => json!({"url": ""}),
        "createNodeToken" => json!({"name": "", "node": ""}),
        "importKeys" => json!({"keys": []}),
        "createUser" => json!({"email": "", "password": ""}),
        "editKey"
        | "editUser"
        | "editSubaccount"
        | "editService"
        | "editAccount"
        | "editWebhook"
        | "regenerateKey"
        | "rotateWebhookSecret" => {
            json!({})
        }
        "changePassword" => json!({"current_password": "", "new_password": ""}),
        "explainRequest" => json!({"request": {}}),
        "putRoutes" => json!({"rules": [], "unmatched": "valid_key"}),
        "putTiers" => json!({"tiers": []}),
        "forgetLostNodes" => json!({"lost_before": "1970-01-01T00:00:00Z"}),
        "acceptEpoch" => json!({}),
        id => panic!("{id} needs an example of its body"),
    })
}

/// A caller of the API.
struct Caller {
    name: String,
    authorization: Option<String>,
    holds: Holds,
}

enum Holds {
    /// No credential.
    NoSession,
    /// These permissions, in the account of the resources.
    These(Vec<Pattern>),
    /// These permissions, as an API key.
    AsKey(Vec<Pattern>),
    /// All permissions, in another account, which is not the operator's.
    AllElsewhere,
}

/// The expected outcome of a call.
#[derive(Debug, PartialEq)]
enum Outcome {
    NoSession,
    MissingPermission,
    NotFound,
    /// The caller is permitted; the outcome of the call itself is not checked.
    Admitted,
}

impl Holds {
    fn outcome(&self, call: &Call) -> Outcome {
        let Some(permissions) = call.permissions() else {
            return Outcome::Admitted;
        };
        match self {
            Self::NoSession => Outcome::NoSession,
            Self::AsKey(_) if OF_SESSIONS.contains(&call.id.as_str()) => Outcome::NoSession,
            Self::AllElsewhere
                if permissions
                    .iter()
                    .any(|permission| permission.starts_with("gateway:")) =>
            {
                Outcome::MissingPermission
            }
            Self::AllElsewhere if call.path.contains('{') => Outcome::NotFound,
            Self::These(held) | Self::AsKey(held)
                if !permissions.iter().all(|permission| holds(held, permission)) =>
            {
                Outcome::MissingPermission
            }
            Self::These(_) | Self::AsKey(_) | Self::AllElsewhere => Outcome::Admitted,
        }
    }
}

fn holds(held: &[Pattern], permission: &str) -> bool {
    let permission = Permission::parse(permission).unwrap();
    held.iter().any(|pattern| pattern.matches(&permission))
}

impl Caller {
    fn new(name: &str, token: &str, holds: Holds) -> Self {
        Self {
            name: name.to_owned(),
            authorization: Some(format!("Bearer {token}")),
            holds,
        }
    }

    /// Makes the call, and checks its outcome and that its status is documented.
    async fn make(&self, plane: &Plane, call: &Call, objects: &Objects) {
        let mut request = plane.request(call.method.clone(), &objects.path(call));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(body) = body(call) {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let code = serde_json::from_str(&text)
            .ok()
            .and_then(|body: Value| Some(body.get("code")?.as_str()?.to_owned()));
        let outcome = match (status, code.as_deref()) {
            (401, _) => Outcome::NoSession,
            (403, Some("missing_permission")) => Outcome::MissingPermission,
            (404, _) if matches!(self.holds, Holds::AllElsewhere) => Outcome::NotFound,
            _ => Outcome::Admitted,
        };
        assert_eq!(
            outcome,
            self.holds.outcome(call),
            "{} by {}: {status} {text}",
            call.id,
            self.name
        );
        let described = call.operation["responses"]
            .get(status.to_string())
            .is_some();
        assert!(
            described,
            "{} by {} answers {status}, which is not described: {text}",
            call.id, self.name
        );
    }

    /// Makes all calls. The call that ends the session is the last one.
    async fn make_all(&self, plane: &Plane, calls: &[Call], objects: &Objects) {
        let (last, others): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.id == "logOut");
        for call in others.into_iter().chain(last) {
            self.make(plane, call, objects).await;
        }
    }
}

/// Creates another account, and returns the token of its administrator.
async fn other_account(plane: &Plane) -> String {
    let pool = plane.pool().await;
    for statement in [
        "INSERT INTO accounts (id, name, tier, created_at) VALUES ('acc_other', 'other', 'pro', 2000000000)",
        "INSERT INTO users (id, account_id, email, password_hash, roles, created_at) SELECT 'usr_other', 'acc_other', \
         'other@localhost', password_hash, '[\"admin\"]', 2000000000 FROM users WHERE email = 'admin@localhost'",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    plane.client("other@localhost").await.token
}

#[tokio::test]
async fn every_private_call_needs_a_credential() {
    let plane = Plane::start().await;
    let public = calls(&description(&plane).await)
        .into_iter()
        .filter(|call| call.permissions().is_none());
    let public: BTreeSet<_> = public.map(|call| call.id).collect();
    assert_eq!(public, PUBLIC.map(str::to_owned).into());
}

#[tokio::test]
async fn without_a_session_nothing_is_done() {
    let plane = Plane::start().await;
    let calls = calls(&description(&plane).await);
    let objects = Objects::make(&plane).await;
    let ended = plane.log_in().await;
    ended.delete("/v1/sessions/current").await;
    let admin = plane.log_in().await;
    let generated = admin
        .generate(json!({"name": "revoked", "roles": ["admin"]}))
        .await;
    let revoked = generated.text("/data/api_key");
    admin
        .delete(&format!("/v1/keys/{}", generated.text("/data/key_id")))
        .await;
    let unknown = format!("lks_{}", "0".repeat(43));
    let malformed = ended.token.replace("lks_", "lk_live_");
    for caller in [
        Caller {
            name: "nobody".to_owned(),
            authorization: None,
            holds: Holds::NoSession,
        },
        Caller {
            name: "another scheme".to_owned(),
            authorization: Some("Basic eA==".to_owned()),
            holds: Holds::NoSession,
        },
        Caller::new("a malformed token", "lks_0", Holds::NoSession),
        Caller::new("an unknown token", &unknown, Holds::NoSession),
        Caller::new("a malformed key", &malformed, Holds::NoSession),
        Caller::new("an ended session", &ended.token, Holds::NoSession),
        Caller::new("a revoked key", &revoked, Holds::NoSession),
    ] {
        caller.make_all(&plane, &calls, &objects).await;
    }
}

#[tokio::test]
async fn every_role_is_admitted_by_its_patterns() {
    let plane = Plane::start().await;
    let calls = calls(&description(&plane).await);
    let objects = Objects::make(&plane).await;
    let admin = plane.log_in().await;
    // These callers make their calls while the resources still exist.
    let mut callers = vec![Caller::new(
        "another account's admin",
        &other_account(&plane).await,
        Holds::AllElsewhere,
    )];
    for (role, _) in ROLES {
        let email = format!("{role}@roles.localhost");
        admin.user(&email, json!({"roles": [role]})).await;
        let token = plane.client(&email).await.token;
        callers.push(Caller::new(
            role,
            &token,
            Holds::These(patterns(role).unwrap()),
        ));
    }
    admin.user("none@localhost", json!({})).await;
    callers.push(Caller::new(
        "no role",
        &plane.client("none@localhost").await.token,
        Holds::These(Vec::new()),
    ));
    for role in ["admin", "read_only_admin"] {
        let key = admin
            .generate(json!({"name": role, "roles": [role], "tier": "enterprise"}))
            .await
            .text("/data/api_key");
        callers.push(Caller::new(
            &format!("a key of {role}"),
            &key,
            Holds::AsKey(patterns(role).unwrap()),
        ));
    }
    for caller in callers {
        caller.make_all(&plane, &calls, &objects).await;
    }
}

#[tokio::test]
async fn documented_permission_is_necessary_and_sufficient() {
    let plane = Plane::start().await;
    let calls = calls(&description(&plane).await);
    let objects = Objects::make(&plane).await;
    let admin = plane.log_in().await;
    let zoe = admin.user("zoe@localhost", json!({})).await;
    let token = plane.client("zoe@localhost").await.token;
    let all: BTreeSet<_> = calls
        .iter()
        .filter_map(Call::permissions)
        .flatten()
        .collect();
    for call in calls.iter().filter(|call| {
        call.permissions()
            .is_some_and(|permissions| !permissions.is_empty())
    }) {
        let needed = call.permissions().unwrap();
        let (resource, _) = needed[0].rsplit_once(':').unwrap();
        // All other permissions, and other actions on the same resource.
        let others = all
            .iter()
            .filter(|permission| !needed.contains(permission))
            .cloned();
        let others: Vec<_> = others.chain([format!("{resource}:other")]).collect();
        for (name, held) in [("all but what it takes", others), ("what it takes", needed)] {
            admin.patch(&zoe, json!({"permissions": held})).await;
            let held = held
                .iter()
                .map(|permission| Pattern::parse(permission).unwrap())
                .collect();
            Caller::new(name, &token, Holds::These(held))
                .make(&plane, call, &objects)
                .await;
        }
    }
}
