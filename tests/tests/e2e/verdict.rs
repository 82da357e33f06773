//! The contract's table of verdicts, row by row: the first row that applies decides. The tests
//! check each request's verdict in the answer, the metric and the access log.

mod refusals;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use latchkey_tests::{Envoy, Gateway, eventually};
use serde_json::{Value, json};

use self::refusals::{REFUSALS, assert_answer};
use self::world::{World, routes};

/// The address of a good request, and one that no key allows.
const HOME: &str = "192.0.2.7";

const ABROAD: &str = "198.51.100.7";

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
