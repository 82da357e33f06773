//! Tests `POST /v1/keys/import`, which imports keys that were created elsewhere.

mod again;
mod nodes;

use crate::harness::{Answer, Client, Plane, START, imported};
use crate::node::Node;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::limit::Window;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn import(client: &Client<'_>, rows: &[Value]) -> Answer {
    client
        .send(Method::POST, "/v1/keys/import", json!({"keys": rows}))
        .await
}

/// Returns a row with additional attributes.
fn with(name: &str, key: &str, more: Value) -> Value {
    let mut row = imported(name, key);
    row.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    row
}

fn hex(key: &str) -> String {
    format!("{:?}", KeyDigest::of(key.as_bytes()))
}

#[tokio::test]
async fn keys_are_imported_with_all_attributes() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.service("dns").await;
    let mut node = Node::ready(&plane).await;
    let all = json!({
        "key_prefix": "sk-proj-0...89", "description": "old", "environment": "test", "tier": "pro", "scope": ["dns"],
        "roles": ["dns_manager"], "permissions": ["vm:read"], "limits": {"day": 7}, "expires_at": START + 60,
        "allowed_ips": ["192.0.2.1"],
    });
    let rows = [
        with("full", "sk-proj-0123456789", all),
        json!({"name": "bare", "sha256": hex("0b5ec4a2-96a6-4a61-8c3c-3fb8dbe1a4e0").to_uppercase()}),
    ];
    let path = "/v1/keys/import?wait_ms=0";
    let answer = client.send(Method::POST, path, json!({"keys": rows})).await;
    assert_eq!(
        (answer.status, answer.text("/message").as_str()),
        (StatusCode::CREATED, "API keys imported successfully")
    );
    assert_eq!(
        (answer.number("/data/imported"), answer.enforcement()),
        (2, (1, 0))
    );
    assert_eq!(
        answer.number("/data/enforcement/revision"),
        plane.store().revision()
    );
    for (index, pointer, value) in [
        (0, "key_prefix", json!("sk-proj-0...89")),
        (0, "environment", json!("test")),
        (0, "limits", json!({"minute": 1000, "day": 7})),
        (0, "expires_at", json!("2027-01-15T08:01:00Z")),
        (1, "key_prefix", json!("imported")),
        (1, "tier", json!("basic")),
    ] {
        assert_eq!(answer.at(&format!("/data/keys/{index}/{pointer}")), &value);
    }
    let id = answer.text("/data/keys/0/key_id");
    let mut shown = client
        .get(&format!("/v1/keys/{id}"))
        .await
        .at("/data")
        .clone();
    shown.as_object_mut().unwrap().remove("usage");
    assert_eq!(&shown, answer.at("/data/keys/0"));

    node.publish().await;
    assert!(node.snapshot.imported());
    let held = node.snapshot.by("sk-proj-0123456789").unwrap();
    assert_eq!(
        (&held.id, held.secret, held.expires_at),
        (&id, 1, Some(START + 60))
    );
    let policy = node.snapshot.policy("full");
    assert_eq!(
        (policy.roles.as_slice(), policy.limits.get(Window::Day)),
        (&["dns_manager".to_owned()][..], Some(7))
    );
    assert_eq!(Node::ready(&plane).await.snapshot, node.snapshot);
}

#[tokio::test]
async fn one_bad_row_fails_the_batch() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("taken").await;
    let revoked = client.import("gone", "sk-gone-0123").await;
    client.delete(&format!("/v1/keys/{revoked}")).await;
    let replaced = client.import("replaced", "sk-replaced-0123").await;
    client.regenerate(&replaced, 0).await;
    let (revision, total) = (plane.store().revision(), client.total().await);
    let good = || imported("good", "sk-good-0123");
    let row = |more: Value| with("bad", "sk-bad-01234", more);
    for (bad, status, code, field) in [
        (json!({"name": "x"}), 400, "invalid_request", "sha256"),
        (
            row(json!({"sha256": "abc"})),
            400,
            "invalid_request",
            "sha256",
        ),
        (
            row(json!({"sha256": "g".repeat(64)})),
            400,
            "invalid_request",
            "sha256",
        ),
        (row(json!({"sha256": 7})), 400, "invalid_request", "sha256"),
        (
            row(json!({"api_key": "sk-bad-01234"})),
            400,
            "invalid_request",
            "api_key",
        ),
        (row(json!({"name": ""})), 400, "invalid_request", "name"),
        (row(json!({"name": 7})), 400, "invalid_request", "name"),
        (
            row(json!({"key_prefix": "sk-bad-01234"})),
            400,
            "invalid_request",
            "key_prefix",
        ),
        (
            with("bad", "sk-01234", json!({"key_prefix": "sk-01234..."})),
            400,
            "invalid_request",
            "key_prefix",
        ),
        (
            row(json!({"key_prefix": ""})),
            400,
            "invalid_request",
            "key_prefix",
        ),
        (
            row(json!({"key_prefix": "é..."})),
            400,
            "invalid_request",
            "key_prefix",
        ),
        (
            row(json!({"key_prefix": format!("{}...", "x".repeat(38))})),
            400,
            "invalid_request",
            "key_prefix",
        ),
        (
            with("bad", "sk...01234", json!({"key_prefix": "sk...01234"})),
            400,
            "invalid_request",
            "key_prefix",
        ),
        (
            row(json!({"environment": "prod"})),
            400,
            "invalid_request",
            "environment",
        ),
        (row(json!({"tier": "gold"})), 400, "invalid_request", "tier"),
        (
            row(json!({"expires_at": START})),
            400,
            "invalid_request",
            "expires_at",
        ),
        (
            row(json!({"allowed_ips": ["here"]})),
            400,
            "invalid_request",
            "allowed_ips[0]",
        ),
        (
            row(json!({"allowed_subaccounts": ["sub_0"]})),
            400,
            "invalid_request",
            "allowed_subaccounts[0]",
        ),
        (imported("taken", "sk-bad-01234"), 409, "name_taken", "name"),
        (imported("good", "sk-bad-01234"), 409, "name_taken", "name"),
        (imported("bad", "sk-good-0123"), 409, "key_taken", "sha256"),
        (imported("bad", "sk-gone-0123"), 409, "key_taken", "sha256"),
        (
            imported("bad", "sk-replaced-0123"),
            409,
            "key_taken",
            "sha256",
        ),
    ] {
        let refused = import(&client, &[good(), bad.clone()]).await;
        let field = format!("keys[1].{field}");
        refused.refused_by(status, code, &field);
        assert!(
            refused.text("/error").contains(&format!("`{field}`")),
            "{bad}: {refused:?}"
        );
        assert!(
            !refused.body.to_string().contains("sk-bad-01234"),
            "{bad}: {refused:?}"
        );
    }
    let many: Vec<_> = (0..1_001)
        .map(|index| imported(&format!("k{index}"), &format!("sk-{index:010}")))
        .collect();
    for rows in [&[][..], &many] {
        import(&client, rows)
            .await
            .refused_by(400, "invalid_request", "keys");
    }
    let rows = json!({"keys": [["good", "x"]]});
    client
        .send(Method::POST, "/v1/keys/import", rows)
        .await
        .refused(400, "invalid_request");
    assert_eq!(
        (plane.store().revision(), client.total().await),
        (revision, total)
    );
    assert_eq!(import(&client, &[good()]).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_thousand_keys_are_one_change() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let ips: Vec<_> = (0..100)
        .map(|host| format!("2001:db8:ffff:ffff:ffff:ffff:ffff:{host:04x}"))
        .collect();
    let row = |index| {
        with(
            &format!("k{index}"),
            &format!("sk-{index:010}"),
            json!({"allowed_ips": ips}),
        )
    };
    let rows: Vec<_> = (0..1_000).map(row).collect();
    let revision = plane.store().revision();
    let answer = import(&client, &rows).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(
        (answer.number("/data/imported"), plane.store().revision()),
        (1_000, revision + 1)
    );
    let node = Node::ready(&plane).await;
    assert_eq!(
        (node.snapshot.keys.len(), node.snapshot.policies.len()),
        (1_000, 1)
    );
    let name = |index: usize| answer.text(&format!("/data/keys/{index}/name"));
    assert_eq!((name(0), name(999)), ("k0".to_owned(), "k999".to_owned()));

    let too_long = client
        .request(Method::POST, "/v1/keys/import")
        .header("content-type", "application/json");
    let too_long = Answer::to(too_long.body(" ".repeat(8 * 1024 * 1024 + 1))).await;
    too_long.refused(413, "payload_too_large");
    assert_eq!(
        too_long.text("/error"),
        "The body must have at most 8388608 bytes."
    );
}

#[tokio::test]
async fn import_is_bounded_by_the_callers_authority() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let [dev, prod] = [
        admin.subaccount("dev").await,
        admin.subaccount("prod").await,
    ];
    let holding = json!({"permissions": ["account:apikeys:*", "dns:read"], "subaccounts": [dev]});
    admin.user("zoe@localhost", holding).await;
    let zoe = plane.client("zoe@localhost").await;
    for (more, field, code) in [
        (
            json!({"permissions": ["dns:write"]}),
            "keys[1].permissions",
            "missing_permission",
        ),
        (
            json!({"roles": ["admin"]}),
            "keys[1].roles",
            "missing_permission",
        ),
        (
            json!({"allowed_subaccounts": [dev, prod]}),
            "keys[1].allowed_subaccounts[1]",
            "subaccount_denied",
        ),
    ] {
        let rows = [
            imported("good", "sk-good-0123"),
            with("bad", "sk-bad-01234", more),
        ];
        import(&zoe, &rows).await.refused_by(403, code, field);
    }
    assert_eq!(admin.total().await, 0);
    assert_eq!(
        import(
            &zoe,
            &[with(
                "good",
                "sk-good-0123",
                json!({"permissions": ["dns:read"]})
            )]
        )
        .await
        .status,
        201
    );
}

#[tokio::test]
async fn imported_key_can_be_regenerated() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.import("foreign", "sk-first-0123").await;
    let secret = client.regenerate(&id, 0).await;
    let node = Node::ready(&plane).await;
    assert!(!node.snapshot.imported());
    assert_eq!(
        node.snapshot
            .by(&secret)
            .map(|key| (key.id.as_str(), key.secret)),
        Some((id.as_str(), 2))
    );
    assert!(secret.starts_with("lk_live_") && node.snapshot.by("sk-first-0123").is_none());
}

#[tokio::test]
async fn audit_records_each_imported_key() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    import(
        &client,
        &[
            imported("one", "sk-one-01234"),
            imported("two", "sk-two-01234"),
        ],
    )
    .await;
    let answer = client.get("/v1/audit?limit=2").await;
    for (index, name) in ["two", "one"].into_iter().enumerate() {
        let entry = answer.at(&format!("/data/entries/{index}"));
        assert_eq!(
            (&entry["action"], &entry["after"]["name"]),
            (&json!("key.import"), &json!(name))
        );
    }
    let text = answer.body.to_string();
    assert!(
        !text.contains("sk-one") && !text.contains(&hex("sk-one-01234")),
        "{text}"
    );
}
