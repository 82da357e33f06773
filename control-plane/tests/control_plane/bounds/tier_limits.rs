//! Tests that a key raises no limit through tiers, neither its own nor one of the keys that it makes.

use super::{manager, tiers, too_much};
use crate::harness::Plane;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn key_above_tier_makes_keys_within() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (account, admin) = operator.account("acme", json!({"tier": "pro"})).await;
    let (key, _) = manager(&plane, &admin, json!({"limits": {"minute": 500}})).await;
    assert_eq!(
        operator
            .patch(&account, json!({"tier": "free"}))
            .await
            .status,
        StatusCode::OK
    );
    let made = key.generate(json!({"name": "made"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(
        (made.text("/data/tier").as_str(), made.at("/data/limits")),
        ("free", &json!({"minute": 10}))
    );
}

#[tokio::test]
async fn key_cannot_raise_its_bounding_tiers() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let more = |tier: &str| json!({"name": tier, "tier": tier, "permissions": ["account:apikeys:*", "gateway:tiers:update"]});
    let (key, _) = manager(&plane, &admin, more("basic")).await;
    assert_eq!(
        key.generate(json!({"name": "made", "tier": "a"}))
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
    let lower =
        json!({"a": {"minute": 10}, "basic": {"minute": 100}, "enterprise": {"minute": 10_000}});
    assert_eq!(
        admin.put("/v1/tiers", tiers(lower.clone())).await.status,
        StatusCode::OK
    );
    assert_eq!(
        key.generate(json!({"name": "made", "tier": "a"}))
            .await
            .status,
        StatusCode::CREATED
    );
    // A key could exceed its limits by raising a lower tier and using it, or by raising its own.
    for raised in [
        json!({"a": {}, "basic": {"minute": 100}, "enterprise": {"minute": 10_000}}),
        json!({"a": {"minute": 10}, "basic": {"minute": 101}, "enterprise": {"minute": 10_000}}),
        lower,
    ] {
        let answer = key.put("/v1/tiers", tiers(raised)).await;
        answer.refused(403, "missing_permission");
        assert!(
            answer.text("/error").contains("a tier below the highest"),
            "{answer:?}"
        );
    }
    let (free, _) = manager(&plane, &admin, more("enterprise")).await;
    let table = |enterprise: Value| {
        tiers(json!({"a": {"day": 1}, "basic": {"minute": 9}, "enterprise": enterprise}))
    };
    too_much(
        &free
            .put("/v1/tiers", table(json!({"minute": 10_001})))
            .await,
        "tiers[2].limits.minute",
    );
    too_much(
        &free.put("/v1/tiers", table(json!({}))).await,
        "tiers[2].limits.minute",
    );
    assert_eq!(
        free.put("/v1/tiers", table(json!({"minute": 10_000, "day": 5})))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn tier_cut_reaches_declared_limits() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, path) = manager(&plane, &admin, json!({})).await;
    let made = key
        .generate(json!({"name": "made", "limits": {"minute": 100}}))
        .await
        .text("/data/key_id");
    let lower = key
        .generate(json!({"name": "lower", "tier": "free"}))
        .await
        .text("/data/key_id");
    let regenerated = admin
        .generate(json!({"name": "regenerated", "limits": {"minute": 60}}))
        .await
        .text("/data/key_id");
    let answer = key
        .send(
            Method::POST,
            &format!("/v1/keys/{regenerated}/regenerate"),
            json!({}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let by_session = admin
        .generate(json!({"name": "session", "limits": {"minute": 100}}))
        .await
        .text("/data/key_id");
    assert_eq!(
        key.patch(&path, json!({"limits": {"minute": 100}}))
            .await
            .status,
        StatusCode::OK
    );
    let cut = tiers(json!({"free": {}, "basic": {"minute": 7}, "enterprise": {"minute": 10_000}}));
    assert_eq!(admin.put("/v1/tiers", cut).await.status, StatusCode::OK);
    let limits = async |id: &str| {
        admin
            .get(&format!("/v1/keys/{id}"))
            .await
            .at("/data/limits")
            .clone()
    };
    let own = path.strip_prefix("/v1/keys/").unwrap();
    for (id, minute) in [
        (own, 7),
        (&made, 7),
        (&lower, 7),
        (&regenerated, 7),
        (&by_session, 100),
    ] {
        assert_eq!(limits(id).await, json!({"minute": minute}), "{id}");
    }
    // The tier also restricts the keys when it is removed, and when it is added again.
    let gone = tiers(json!({"free": {}, "pro": {"minute": 1000}}));
    let wide = admin
        .patch(
            &format!("/v1/accounts/{}", plane.owner().await.0),
            json!({"tier": "free"}),
        )
        .await;
    assert_eq!(wide.status, StatusCode::OK, "{wide:?}");
    for id in [own, &made, &regenerated, &by_session] {
        assert_eq!(
            admin.delete(&format!("/v1/keys/{id}")).await.status,
            StatusCode::OK
        );
    }
    assert_eq!(admin.put("/v1/tiers", gone).await.status, StatusCode::OK);
    assert_eq!(limits(&lower).await, json!({"minute": 7}));
    let back = tiers(json!({"basic": {"minute": 3}, "free": {}, "pro": {"minute": 1000}}));
    assert_eq!(admin.put("/v1/tiers", back).await.status, StatusCode::OK);
    assert_eq!(limits(&lower).await, json!({"minute": 3}));
    // A session sets the limit of a window without this restriction.
    let answer = admin
        .patch(
            &format!("/v1/keys/{lower}"),
            json!({"limits": {"minute": 50}}),
        )
        .await;
    assert_eq!(
        answer.at("/data/limits"),
        &json!({"minute": 50}),
        "{answer:?}"
    );
}

#[tokio::test]
async fn inherited_limit_cannot_be_removed() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, _) = manager(
        &plane,
        &admin,
        json!({"limits": {"minute": 100, "hour": 50}}),
    )
    .await;
    let made = key
        .generate(json!({"name": "made", "limits": {"hour": null}}))
        .await;
    assert_eq!(
        made.at("/data/limits"),
        &json!({"minute": 100, "hour": 50}),
        "{made:?}"
    );
    let path = format!("/v1/keys/{}", made.text("/data/key_id"));
    // The tier has the same limit per minute, but the key has its own.
    too_much(
        &key.patch(&path, json!({"limits": {"minute": null}})).await,
        "limits.minute",
    );
    too_much(
        &key.patch(&path, json!({"limits": {"hour": null}})).await,
        "limits.hour",
    );
    too_much(
        &key.patch(&path, json!({"limits": null})).await,
        "limits.minute",
    );
    assert_eq!(
        key.patch(&path, json!({"limits": {"minute": 99}}))
            .await
            .status,
        StatusCode::OK
    );
    let other = admin
        .generate(json!({"name": "other", "tier": "free", "limits": {"hour": 50}}))
        .await
        .text("/data/key_id");
    let answer = key
        .send(
            Method::POST,
            &format!("/v1/keys/{other}/regenerate"),
            json!({}),
        )
        .await;
    too_much(&answer, "limits.minute");
}
