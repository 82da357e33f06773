//! Tests that a key that manages keys grants no more than it has.

mod comparison;
mod draw;
mod evaluator;
mod issued;
mod issues;
mod lasting;
mod regeneration;
mod tier_limits;
mod verdicts;

pub(crate) use draw::Random;

use crate::harness::{Answer, Client, Plane, imported};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Creates a key of the administrator that manages keys and has the attributes in `more`.
async fn manager<'a>(plane: &'a Plane, admin: &Client<'_>, more: Value) -> (Client<'a>, String) {
    let mut body = json!({"name": "manager", "permissions": ["account:apikeys:*"]});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let answer = admin.generate(body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    (
        plane.bearer(&answer.text("/data/api_key")),
        format!("/v1/keys/{}", answer.text("/data/key_id")),
    )
}

fn too_much(answer: &Answer, field: &str) {
    answer.refused_by(403, "missing_permission", field);
}

#[tokio::test]
async fn allow_list_lifts_no_deny_list() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, path) = manager(&plane, &admin, json!({"denied_ips": ["127.0.0.2"]})).await;
    too_much(
        &key.patch(&path, json!({"allowed_ips": ["0.0.0.0/0"]}))
            .await,
        "allowed_ips",
    );
    too_much(
        &key.patch(&path, json!({"denied_ips": []})).await,
        "denied_ips",
    );
    let made = |allowed: Value, denied: Value| {
        let body = json!({"name": "made", "allowed_ips": allowed, "denied_ips": denied});
        key.generate(body)
    };
    let both = made(json!(["0.0.0.0/0"]), json!(["127.0.0.2"])).await;
    too_much(&both, "allowed_ips");
    assert!(
        both.text("/error").contains("must not admit 127.0.0.2"),
        "{both:?}"
    );
    too_much(
        &made(json!(["::ffff:127.0.0.2"]), json!([])).await,
        "allowed_ips",
    );
    too_much(
        &made(json!([]), json!([{"cidr": "127.0.0.2", "enabled": false}])).await,
        "denied_ips",
    );
    let mapped = made(json!(["0.0.0.0/0"]), json!(["::ffff:127.0.0.2"])).await;
    too_much(&mapped, "allowed_ips");
    assert_eq!(
        made(json!(["127.0.0.1", "::/0"]), json!([])).await.status,
        StatusCode::CREATED
    );
    // The key may restrict itself, but may not undo that.
    let narrower = key
        .patch(&path, json!({"denied_ips": ["127.0.0.2", "192.0.2.0/24"]}))
        .await;
    assert_eq!(narrower.status, StatusCode::OK, "{narrower:?}");
    too_much(
        &key.patch(&path, json!({"denied_ips": ["127.0.0.2"]})).await,
        "denied_ips",
    );
}

#[tokio::test]
async fn key_cannot_raise_its_limits() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, path) = manager(
        &plane,
        &admin,
        json!({"tier": "free", "limits": {"hour": 3}}),
    )
    .await;
    too_much(
        &key.patch(&path, json!({"limits": {"hour": 4}})).await,
        "limits.hour",
    );
    too_much(
        &key.patch(&path, json!({"limits": {"minute": 11}})).await,
        "limits.minute",
    );
    too_much(
        &key.patch(&path, json!({"limits": null})).await,
        "limits.hour",
    );
    for (more, field) in [
        (json!({"tier": "enterprise"}), "tier"),
        (json!({"limits": {"hour": 4}}), "limits.hour"),
        (json!({"limits": {"minute": 11}}), "limits.minute"),
        (json!({"environment": "test"}), "environment"),
    ] {
        let mut body = json!({"name": "made"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        too_much(&key.generate(body.clone()).await, field);
        let mut row = imported("made", "made elsewhere");
        row.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = key
            .send(Method::POST, "/v1/keys/import", json!({"keys": [row]}))
            .await;
        too_much(&answer, &format!("keys[0].{field}"));
    }
    for tier in ["basic", "enterprise"] {
        let other = admin
            .generate(json!({"name": tier, "tier": tier}))
            .await
            .text("/data/key_id");
        let answer = key
            .send(
                Method::POST,
                &format!("/v1/keys/{other}/regenerate"),
                json!({}),
            )
            .await;
        too_much(&answer, "tier");
    }
    let mut body = json!({"name": "unlimited by the hour", "tier": "free"});
    let other = admin.generate(body.take()).await.text("/data/key_id");
    let answer = key
        .send(
            Method::POST,
            &format!("/v1/keys/{other}/regenerate"),
            json!({}),
        )
        .await;
    too_much(&answer, "limits.hour");
    assert_eq!(
        answer.text("/error"),
        "Field `limits.hour` must be at most 3, because your own API key cannot give more."
    );
}

/// The limit of the tier is equal.
#[tokio::test]
async fn key_keeps_its_equal_own_limit() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, path) = manager(&plane, &admin, json!({"limits": {"minute": 100}})).await;
    // The tier's limit is the same now, but may change later.
    let answer = key.patch(&path, json!({"limits": null})).await;
    too_much(&answer, "limits.minute");
    assert!(
        answer
            .text("/error")
            .contains("must be set, to at most 100"),
        "{answer:?}"
    );
    let made = key.generate(json!({"name": "made"})).await;
    assert_eq!(
        admin.patch(&path, json!({"limits": null})).await.status,
        StatusCode::OK
    );
    let tiers = ["free", "basic", "pro", "enterprise"]
        .map(|name| json!({"name": name, "limits": {"minute": 5000}}));
    assert_eq!(
        admin.put("/v1/tiers", json!({"tiers": tiers})).await.status,
        StatusCode::OK
    );
    let shown = admin
        .get(&format!("/v1/keys/{}", made.text("/data/key_id")))
        .await;
    assert_eq!(shown.at("/data/limits"), &json!({"minute": 100}));
}

#[tokio::test]
async fn key_made_without_bounds_inherits_them() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    admin.service("dns").await;
    let own = json!({
        "environment": "test", "tier": "pro", "scope": ["latchkey", "dns"], "limits": {"minute": 500, "day": 9},
        "expires_at": "2027-01-16T08:00:00Z", "allowed_ips": ["127.0.0.0/8"], "denied_ips": ["::1"],
        "allowed_subaccounts": [admin.subaccount("dev").await],
    });
    let (key, _) = manager(&plane, &admin, own.clone()).await;
    let made = key.generate(json!({"name": "made"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let row = imported("imported", "made elsewhere");
    let imported = key
        .send(Method::POST, "/v1/keys/import", json!({"keys": [row]}))
        .await;
    assert_eq!(imported.status, StatusCode::CREATED, "{imported:?}");
    assert!(made.text("/data/api_key").starts_with("lk_test_"));
    for key in [made.at("/data"), imported.at("/data/keys/0")] {
        for field in [
            "environment",
            "tier",
            "scope",
            "limits",
            "expires_at",
            "allowed_subaccounts",
        ] {
            assert_eq!(key[field], own[field], "{field}");
        }
        assert_eq!(key["allowed_ips"][0]["cidr"], "127.0.0.0/8");
        assert_eq!(key["denied_ips"][0]["cidr"], "::1/128");
    }
    // A key of a lower tier has that tier's limits. For windows without a limit in the tier, it has
    // the calling key's limits.
    let lower = key.generate(json!({"name": "lower", "tier": "free"})).await;
    assert_eq!(lower.at("/data/limits"), &json!({"minute": 10, "day": 9}));
    let partly = key
        .generate(json!({"name": "partly", "limits": {"day": 5, "hour": 7}}))
        .await;
    assert_eq!(
        partly.at("/data/limits"),
        &json!({"minute": 500, "hour": 7, "day": 5})
    );
}

/// Imports many keys by a key with long lists.
#[tokio::test]
async fn restricted_import_has_bounded_cost() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let list: Vec<_> = (0..5_000)
        .map(|n| format!("127.{}.{}.1", n / 250, n % 250))
        .collect();
    let (key, _) = manager(
        &plane,
        &admin,
        json!({"allowed_ips": ["127.0.0.1"], "denied_ips": list}),
    )
    .await;
    let row = |n: usize| imported(&format!("imported {n}"), &format!("made elsewhere {n}"));
    let rows: Vec<_> = (0..1_000).map(row).collect();
    let answer = key
        .send(Method::POST, "/v1/keys/import", json!({"keys": rows}))
        .await;
    answer.refused_by(400, "invalid_request", "keys[199].allowed_ips");
    let answer = key
        .send(Method::POST, "/v1/keys/import", json!({"keys": rows[..2]}))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

#[tokio::test]
async fn wider_key_can_only_be_narrowed() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let restricted =
        json!({"tier": "basic", "allowed_ips": ["127.0.0.0/8"], "expires_at": 1_900_000_000});
    let (key, _) = manager(&plane, &admin, restricted).await;
    for (name, more) in [
        ("tier", json!({"tier": "pro"})),
        ("environment", json!({"environment": "test"})),
        ("limits.minute", json!({"limits": {"minute": 101}})),
        ("expires_at", json!({"expires_at": 1_900_000_001})),
        (
            "allowed_ips",
            json!({"allowed_ips": ["127.0.0.0/8", "::1"]}),
        ),
    ] {
        let mut body = json!({
            "name": name, "tier": "basic", "allowed_ips": ["127.0.0.0/8"], "expires_at": 1_850_000_000,
        });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let path = format!(
            "/v1/keys/{}",
            admin.generate(body).await.text("/data/key_id")
        );
        for narrower in [
            json!({"name": format!("still {name}")}),
            json!({"allowed_ips": ["127.0.0.1"], "denied_ips": ["127.0.0.0/8"]}),
            json!({"limits": {"day": 1}, "active": false}),
        ] {
            // None of these edits changes how the key exceeds the calling key, except an edit of
            // that attribute.
            if name == "allowed_ips" && narrower.get("allowed_ips").is_some() {
                continue;
            }
            let answer = key.patch(&path, narrower.clone()).await;
            assert_eq!(
                answer.status,
                StatusCode::OK,
                "{name} {narrower}: {answer:?}"
            );
        }
        too_much(&key.patch(&path, json!({"active": true})).await, name);
        too_much(
            &key.send(Method::POST, &format!("{path}/regenerate"), json!({}))
                .await,
            name,
        );
    }
}

#[tokio::test]
async fn foreign_key_is_not_taken_over() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    admin
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let zoe = plane.client("zoe@localhost").await;
    let (key, _) = manager(&plane, &admin, json!({})).await;
    let path = format!("/v1/keys/{}", zoe.key("hers").await);
    too_much(
        &key.send(Method::POST, &format!("{path}/regenerate"), json!({}))
            .await,
        "owner",
    );
    assert_eq!(
        key.patch(&path, json!({"active": false})).await.status,
        StatusCode::OK
    );
    too_much(&key.patch(&path, json!({"active": true})).await, "owner");
    assert_eq!(
        admin.patch(&path, json!({"active": true})).await.status,
        StatusCode::OK
    );
}

/// Returns a body for `PUT /v1/tiers`.
fn tiers(all: Value) -> Value {
    let tier = |(name, limits): (&String, &Value)| json!({"name": name, "limits": limits});
    let all: Vec<_> = all.as_object().unwrap().iter().map(tier).collect();
    json!({"tiers": all})
}
