//! The contract's table of verdicts, row by row: the first row that applies decides. The tests
//! check each request's verdict in the answer, the metric and the access log.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use latchkey_policy::limit::Window;
use latchkey_tests::{Answer, CreatedKey, Envoy, Gateway, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::clock::{now, reaches, time_in};
use crate::unknown_key;

/// The address of a good request, and one that no key allows.
const HOME: &str = "192.0.2.7";
const ABROAD: &str = "198.51.100.7";

/// Returns the rules. Those of the service `dns` have every condition that a rule can have.
fn routes() -> Value {
    json!({ "rules": [
        { "path": { "prefix": "/public" }, "public": true },
        { "path": { "prefix": "/open" } },
        { "path": { "prefix": "/cdn" }, "service": "cdn", "permission": "cache:purge" },
        { "path": { "prefix": "/dns/write" }, "service": "dns", "permission": "dns:write",
          "subaccount": { "header": "x-subaccount" } },
        { "path": { "prefix": "/dns" }, "service": "dns", "permission": "dns:read",
          "subaccount": { "header": "x-subaccount" } }
    ] })
}

/// The expected content of a refusal with a code.
struct Refusal {
    status: u16,
    code: &'static str,
    challenge: Option<&'static str>,
    message: &'static str,
}

const REFUSALS: [Refusal; 12] = [
    refusal(503, "not_ready", None, "Service unavailable"),
    refusal(
        401,
        "missing_key",
        Some(r#"Bearer realm="latchkey""#),
        "Missing API key",
    ),
    refusal(
        401,
        "ambiguous_key",
        Some(INVALID_TOKEN),
        "Ambiguous API key",
    ),
    refusal(
        401,
        "malformed_key",
        Some(INVALID_TOKEN),
        "Malformed API key",
    ),
    refusal(401, "invalid_key", Some(INVALID_TOKEN), "Invalid API key"),
    refusal(401, "disabled_key", Some(INVALID_TOKEN), "Disabled API key"),
    refusal(401, "expired_key", Some(INVALID_TOKEN), "Expired API key"),
    refusal(403, "ip_denied", None, "Address not allowed"),
    refusal(403, "out_of_scope", None, "Service not in scope"),
    refusal(403, "missing_permission", None, "Missing permission"),
    refusal(403, "subaccount_denied", None, "Subaccount not allowed"),
    refusal(429, "rate_limited", None, "Rate limit exceeded"),
];

const INVALID_TOKEN: &str = r#"Bearer realm="latchkey", error="invalid_token""#;

const fn refusal(
    status: u16,
    code: &'static str,
    challenge: Option<&'static str>,
    message: &'static str,
) -> Refusal {
    Refusal {
        status,
        code,
        challenge,
        message,
    }
}

/// Asserts that an answer is the one in the contract for `code`.
fn assert_answer(rule: &str, answer: &Answer, code: &str) {
    let Some(refusal) = REFUSALS.iter().find(|refusal| refusal.code == code) else {
        assert_eq!(
            (answer.status, answer.code()),
            (200, ""),
            "{rule}: {}",
            answer.body
        );
        return;
    };
    assert_eq!(
        (answer.status, answer.code()),
        (refusal.status, code),
        "{rule}: {}",
        answer.body
    );
    let mut fields: Vec<_> = answer.body.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["code", "error", "message", "status"], "{rule}");
    assert_eq!(
        (&answer.body["status"], &answer.body["message"]),
        (&json!("error"), &json!(refusal.message)),
        "{rule}"
    );
    assert!(
        answer.body["error"]
            .as_str()
            .is_some_and(|error| !error.is_empty()),
        "{rule}: {}",
        answer.body
    );
    assert_eq!(answer.headers["content-type"], "application/json", "{rule}");
    let challenge = answer
        .headers
        .get("www-authenticate")
        .map(|value| value.to_str().unwrap());
    assert_eq!(challenge, refusal.challenge, "{rule}");
    assert_eq!(
        answer.headers.contains_key("retry-after"),
        matches!(refusal.status, 429 | 503),
        "{rule}"
    );
}

/// Returns the number of requests by verdict.
async fn counts(envoy: &Envoy) -> BTreeMap<String, u64> {
    let page = envoy
        .admin_get("/stats?filter=wasmcustom.latchkey_requests")
        .await
        .unwrap();
    let counts = page.lines().filter_map(|line| {
        line.strip_prefix("wasmcustom.latchkey_requests.")?
            .split_once(": ")
    });
    counts
        .map(|(code, count)| (code.to_owned(), count.parse().unwrap()))
        .collect()
}

/// Waits until the access log has a line for each of `paths`, with its verdict.
async fn assert_logged(envoy: &Envoy, paths: &[(String, &str)]) {
    let logged = eventually(Duration::from_secs(5), async || {
        let lines = envoy.access_log();
        for (path, code) in paths {
            let line = lines.iter().find(|line| line["path"] == **path);
            ensure!(
                line.is_some_and(|line| line["verdict"] == *code),
                "{path}, {code}: {line:?}"
            );
            let refused = !matches!(*code, "allowed" | "public");
            let details = line.map(|line| line["details"] == format!("latchkey_{code}"));
            ensure!(details == Some(refused), "{path}: {line:?}");
        }
        Ok(())
    });
    logged.await.unwrap();
}

/// A gateway with the rules above, and keys that only lack the conditions in their names.
struct World {
    gateway: Gateway,
    keys: BTreeMap<&'static str, CreatedKey>,
    alpha: String,
    beta: String,
}

impl World {
    async fn start(configuration: Value) -> Self {
        time_in(Window::Day, 60).await;
        let gateway = Gateway::builder().envoy(|envoy| {
            envoy.trusted_proxies = 1;
            envoy.configuration = configuration;
        });
        let gateway = gateway.start().await;
        let control_plane = &gateway.control_plane;
        control_plane.put_routes(routes()).await.unwrap();
        let alpha = control_plane.create_subaccount("alpha").await.unwrap();
        let beta = control_plane.create_subaccount("beta").await.unwrap();
        let good = json!({
            "scope": ["dns"], "permissions": ["dns:read"], "allowed_subaccounts": [alpha],
            "allowed_ips": ["192.0.2.0/24"], "limits": {},
        });
        let owner = json!({ "email": "owner@example.com", "roles": ["dns_manager"],
            "permissions": ["account:apikeys:create"] });
        let owner = control_plane.create_user(owner).await.unwrap();
        let mut keys = BTreeMap::new();
        for name in [
            "good",
            "used up",
            "expired",
            "disabled",
            "disabled owner's",
            "revoked",
        ] {
            let mut key = good.clone();
            key["name"] = name.into();
            key["limits"]["day"] = if name == "good" { 1_000 } else { 1 }.into();
            let created = match name {
                "disabled owner's" => control_plane.create_key_of(&owner, key).await,
                _ => control_plane.create_key(key).await,
            };
            keys.insert(name, created.unwrap());
        }
        let world = Self {
            gateway,
            keys,
            alpha,
            beta,
        };
        world.wear_out(&owner.user_id).await;
        world
    }

    /// Uses up the limits of one request, and changes each key as its name says.
    async fn wear_out(&self, owner: &str) {
        let control_plane = &self.gateway.control_plane;
        for (name, key) in &self.keys {
            let answer = self.ask(Some(&key.api_key), "/open", HOME, None).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        }
        let soon = now() + 2;
        for (name, change) in [
            ("expired", json!({ "expires_at": soon })),
            ("disabled", json!({ "expires_at": soon, "active": false })),
            ("disabled owner's", json!({ "expires_at": soon })),
            ("revoked", json!({ "expires_at": soon, "active": false })),
        ] {
            let key = format!("/v1/keys/{}", self.keys[name].key_id);
            control_plane
                .change(Method::PATCH, &key, change)
                .await
                .unwrap();
        }
        let owner = format!("/v1/users/{owner}");
        control_plane
            .change(Method::PATCH, &owner, json!({ "disabled": true }))
            .await
            .unwrap();
        control_plane
            .revoke(&self.keys["revoked"].key_id)
            .await
            .unwrap();
        reaches(soon).await;
    }

    async fn ask(
        &self,
        key: Option<&str>,
        path: &str,
        from: &str,
        subaccount: Option<&str>,
    ) -> Answer {
        let headers = [
            ("x-api-key", key),
            ("x-forwarded-for", Some(from)),
            ("x-subaccount", subaccount),
        ];
        let headers: Vec<_> = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        self.gateway.ask_with(path, &headers).await
    }
}

/// The key, path, address and subaccount of each row, and its code. Wherever possible, a request
/// also violates the rows below its own.
const ROWS: &[(&str, &str, &str, &str, &str, &str)] = &[
    (
        "1: a public route needs no key",
        "none",
        "/public",
        ABROAD,
        "beta",
        "public",
    ),
    (
        "1: nor does it look at one that is ambiguous",
        "ambiguous",
        "/public",
        ABROAD,
        "beta",
        "public",
    ),
    (
        "1: or malformed",
        "malformed",
        "/public",
        ABROAD,
        "beta",
        "public",
    ),
    (
        "1: or disabled",
        "disabled",
        "/public",
        ABROAD,
        "beta",
        "public",
    ),
    (
        "3: no credential",
        "none",
        "/cdn",
        ABROAD,
        "beta",
        "missing_key",
    ),
    (
        "4: two different credentials",
        "ambiguous",
        "/cdn",
        ABROAD,
        "beta",
        "ambiguous_key",
    ),
    (
        "5: a wrong form",
        "malformed",
        "/cdn",
        ABROAD,
        "beta",
        "malformed_key",
    ),
    (
        "6: a key that nobody made",
        "unknown",
        "/cdn",
        ABROAD,
        "beta",
        "invalid_key",
    ),
    (
        "6: a key that was revoked",
        "revoked",
        "/cdn",
        ABROAD,
        "beta",
        "invalid_key",
    ),
    (
        "7: a key that is disabled",
        "disabled",
        "/cdn",
        ABROAD,
        "beta",
        "disabled_key",
    ),
    (
        "7: a key whose owner is disabled",
        "disabled owner's",
        "/cdn",
        ABROAD,
        "beta",
        "disabled_key",
    ),
    (
        "8: a key past its expiry",
        "expired",
        "/cdn",
        ABROAD,
        "beta",
        "expired_key",
    ),
    (
        "9: an address that is not on the allow list",
        "used up",
        "/cdn",
        ABROAD,
        "beta",
        "ip_denied",
    ),
    (
        "10: a service outside the scope",
        "used up",
        "/cdn",
        HOME,
        "beta",
        "out_of_scope",
    ),
    (
        "11: a permission that is missing",
        "used up",
        "/dns/write",
        HOME,
        "beta",
        "missing_permission",
    ),
    (
        "12: another subaccount",
        "used up",
        "/dns",
        HOME,
        "beta",
        "subaccount_denied",
    ),
    (
        "12: no subaccount, with a key that is kept to one",
        "used up",
        "/dns",
        HOME,
        "none",
        "subaccount_denied",
    ),
    (
        "13: a limit that is used up",
        "used up",
        "/dns",
        HOME,
        "alpha",
        "rate_limited",
    ),
    (
        "13: also where a valid key is all that is asked",
        "used up",
        "/open",
        HOME,
        "none",
        "rate_limited",
    ),
    (
        "14: a key with all that is asked",
        "good",
        "/dns",
        HOME,
        "alpha",
        "allowed",
    ),
    (
        "14: a key where it is all that is asked",
        "good",
        "/open",
        HOME,
        "none",
        "allowed",
    ),
    (
        "14: a path that no rule is about",
        "good",
        "/else",
        HOME,
        "beta",
        "allowed",
    ),
];

impl World {
    /// Sends a row's request, and returns the answer. The request must be counted as this row's
    /// code and as no other.
    async fn send(&self, number: usize) -> Answer {
        let (rule, key, path, from, subaccount, code) = ROWS[number];
        let unknown = unknown_key();
        let ambiguous = format!("lk_live_nonsense, {unknown}");
        let key = match key {
            "none" => None,
            "ambiguous" => Some(ambiguous.as_str()),
            "malformed" => Some("lk_live_nonsense"),
            "unknown" => Some(unknown.as_str()),
            name => Some(self.keys[name].api_key.as_str()),
        };
        let subaccount = match subaccount {
            "alpha" => Some(self.alpha.as_str()),
            "beta" => Some(self.beta.as_str()),
            _ => None,
        };
        let before = counts(&self.gateway.envoy).await;
        let answer = self
            .ask(key, &row_path(number, path), from, subaccount)
            .await;
        let after = counts(&self.gateway.envoy).await;
        let counted: Vec<_> = after
            .iter()
            .filter(|(code, count)| before.get(*code) != Some(count))
            .collect();
        let total = before.get(code).copied().unwrap_or_default() + 1;
        assert_eq!(counted, [(&code.to_owned(), &total)], "{rule}");
        answer
    }
}

/// Returns the path by which the row is found in the access log.
fn row_path(number: usize, path: &str) -> String {
    format!("{path}/row-{number}")
}

#[tokio::test]
async fn each_contract_row_precedes_those_below() {
    let world = World::start(json!({})).await;
    let mut logged = Vec::new();
    for (number, (rule, _, path, _, _, code)) in ROWS.iter().enumerate() {
        let arrived = world.gateway.upstream.requests();
        let answer = world.send(number).await;
        assert_answer(rule, &answer, code);
        let passed = u64::from(matches!(*code, "allowed" | "public"));
        assert_eq!(
            world.gateway.upstream.requests() - arrived,
            passed,
            "{rule}"
        );
        logged.push((row_path(number, path), *code));
    }
    assert_logged(&world.gateway.envoy, &logged).await;
    let lines = world.gateway.envoy.access_log();
    for ((path, code), (rule, key, ..)) in logged.iter().zip(ROWS) {
        let line = lines.iter().find(|line| line["path"] == **path).unwrap();
        let known = world
            .keys
            .get(key)
            .filter(|_| !matches!(*code, "public" | "invalid_key"));
        assert_eq!(line["key"], json!(known.map(|key| &key.key_id)), "{rule}");
    }
}

#[tokio::test]
async fn shadowed_check_still_counts_and_logs() {
    let shadowed: Vec<_> = REFUSALS
        .iter()
        .map(|refusal| refusal.code)
        .filter(|code| *code != "not_ready")
        .collect();
    let world = World::start(json!({ "shadow": shadowed })).await;
    for (number, (rule, _, _, _, _, code)) in ROWS.iter().enumerate() {
        let answer = world.send(number).await;
        assert_eq!(answer.status, 200, "{rule}: {}", answer.body);
        let identity = answer.reached_upstream("x-latchkey-identity");
        assert_eq!(
            identity.is_some(),
            *code == "allowed",
            "{rule}: {identity:?}"
        );
    }
    let logged = eventually(Duration::from_secs(5), async || {
        let lines = world.gateway.envoy.access_log();
        for (number, (rule, _, path, _, _, code)) in ROWS.iter().enumerate() {
            let line = lines
                .iter()
                .find(|line| line["path"] == row_path(number, path));
            let line = line.with_context(|| format!("{rule}: no line"))?;
            let passes = matches!(*code, "allowed" | "public");
            let shadow = if passes { Value::Null } else { json!(code) };
            let verdict = if passes { code } else { "allowed" };
            ensure!(
                (&line["verdict"], &line["shadow"]) == (&json!(verdict), &shadow),
                "{rule}: {line}"
            );
        }
        Ok(())
    });
    logged.await.unwrap();
}

/// Every other route needs one.
#[tokio::test]
async fn public_route_needs_no_fresh_snapshot() {
    let mut gateway = Gateway::builder().without_control_plane().start().await;
    let answer = gateway.ask("/public", None).await;
    assert_answer(
        "2: no snapshot yet, so nothing says that the route is public",
        &answer,
        "not_ready",
    );
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(counts(&gateway.envoy).await["not_ready"], 1);
    assert_logged(&gateway.envoy, &[("/public".to_owned(), "not_ready")]).await;

    gateway = Gateway::builder()
        .envoy(|envoy| envoy.configuration = json!({ "max_staleness_seconds": 2 }))
        .start()
        .await;
    gateway.control_plane.put_routes(routes()).await.unwrap();
    gateway.control_plane.kill();
    let stale = eventually(Duration::from_secs(6), async || {
        let answer = gateway.ask("/open", None).await;
        ensure!(answer.code() == "not_ready", "{}", answer.body);
        Ok(answer)
    });
    assert_answer(
        "2: a snapshot that is too old",
        &stale.await.unwrap(),
        "not_ready",
    );
    assert_answer(
        "1: public all the same",
        &gateway.ask("/public", None).await,
        "public",
    );
    assert_eq!(counts(&gateway.envoy).await["public"], 1);
}
