//! Tests `issues`, the limits for keys that a key creates instead of its own attributes.

use super::{manager, tiers, too_much};
use crate::harness::{Client, PASSWORD, Plane, imported};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn provisioning_key_issues_keys_beyond_itself() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let issues = json!({
        "tier": "pro", "limits": {"day": 5000}, "addresses": "all", "expiry_days": 90, "environments": ["test", "live"],
    });
    let own = json!({
        "tier": "free", "limits": {"hour": 5}, "allowed_ips": ["127.0.0.1"], "expires_at": "2027-02-01T00:00:00Z",
        "scope": ["latchkey"], "issues": issues,
    });
    let (key, path) = manager(&plane, &admin, own).await;
    assert_eq!(admin.get(&path).await.at("/data/issues"), &issues);
    let made = key.generate(json!({"name": "by default"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let expected = json!({
        "environment": "test", "tier": "pro", "limits": {"minute": 1000, "hour": 5, "day": 5000}, "allowed_ips": [],
        "expires_at": "2027-04-15T08:00:00Z", "scope": ["latchkey"], "issues": null,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&made.at("/data")[field], value, "{field}");
    }
    let row = imported("imported", "made elsewhere");
    let answer = key
        .send(Method::POST, "/v1/keys/import", json!({"keys": [row]}))
        .await;
    assert_eq!(
        answer.at("/data/keys/0/limits"),
        &json!({"minute": 1000, "hour": 5, "day": 5000}),
        "{answer:?}"
    );
    for (more, field) in [
        (json!({"tier": "enterprise"}), "tier"),
        (json!({"limits": {"day": 5001}}), "limits.day"),
        (json!({"limits": {"minute": 1001}}), "limits.minute"),
        (json!({"limits": {"hour": 6}}), "limits.hour"),
        (json!({"expires_at": "2027-04-15T08:00:01Z"}), "expires_at"),
        // Attributes that `issues` omits are bounded by the key itself.
        (json!({"scope": "all"}), "scope"),
        (json!({"permissions": ["dns:read"]}), "permissions"),
        (json!({"issues": {"tier": "free"}}), "issues"),
    ] {
        let mut body = json!({"name": "more"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        too_much(&key.generate(body).await, field);
    }
    // `issues` only affects new keys.
    let id = made.text("/data/key_id");
    too_much(
        &key.patch(&path, json!({"limits": {"hour": 6}})).await,
        "limits.hour",
    );
    too_much(
        &key.send(
            Method::POST,
            &format!("/v1/keys/{id}/regenerate"),
            json!({}),
        )
        .await,
        "environment",
    );
    let narrowed = key
        .patch(&format!("/v1/keys/{id}"), json!({"active": false}))
        .await;
    assert_eq!(narrowed.status, StatusCode::OK, "{narrowed:?}");
    too_much(
        &key.patch(&format!("/v1/keys/{id}"), json!({"active": true}))
            .await,
        "environment",
    );
}

#[tokio::test]
async fn narrower_issues_bound_a_wide_key() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    for (issues, field, refused, accepted) in [
        (
            "tier",
            "tier",
            json!({"tier": "basic"}),
            json!({"tier": "free"}),
        ),
        (
            "limits",
            "limits.minute",
            json!({"limits": {"minute": 6}}),
            json!({"limits": {"minute": 5}}),
        ),
        (
            "addresses",
            "allowed_ips",
            json!({"allowed_ips": ["10.0.0.0/7"]}),
            json!({"allowed_ips": ["10.0.0.1"]}),
        ),
        (
            "addresses",
            "allowed_ips",
            json!({"denied_ips": ["192.0.2.1"]}),
            json!({}),
        ),
        (
            "expiry_days",
            "expires_at",
            json!({"expires_at": 1_800_086_401}),
            json!({"expires_at": 1_800_086_400}),
        ),
        (
            "environments",
            "environment",
            json!({"environment": "live"}),
            json!({"environment": "test"}),
        ),
    ] {
        let all = json!({
            "tier": "free", "limits": {"minute": 5}, "addresses": ["10.0.0.0/8"], "expiry_days": 1,
            "environments": ["test"],
        });
        let name = format!("{issues} {refused}");
        let given = json!({"tier": "pro", "name": name, "issues": {issues: all[issues]}});
        let (key, _) = manager(&plane, &admin, given).await;
        let body = |name: &str, more: &Value| {
            let mut body = json!({"name": format!("{issues} {refused} {name}")});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            body
        };
        too_much(&key.generate(body("refused", &refused)).await, field);
        let made = key.generate(body("accepted", &accepted)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{issues}: {made:?}");
    }
}

#[tokio::test]
async fn issuing_key_is_not_taken_over() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, _) = manager(&plane, &admin, json!({})).await;
    let provisioner =
        json!({"name": "provisioner", "tier": "free", "issues": {"tier": "enterprise"}});
    let (provisioner, path) = manager(&plane, &admin, provisioner).await;
    too_much(
        &key.send(Method::POST, &format!("{path}/regenerate"), json!({}))
            .await,
        "issues",
    );
    assert_eq!(
        key.patch(&path, json!({"active": false})).await.status,
        StatusCode::OK
    );
    too_much(&key.patch(&path, json!({"active": true})).await, "issues");
    assert_eq!(
        admin.patch(&path, json!({"active": true})).await.status,
        StatusCode::OK
    );
    let again = provisioner
        .send(Method::POST, &format!("{path}/regenerate"), json!({}))
        .await;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
    assert_eq!(again.at("/data/issues"), &json!({"tier": "enterprise"}));
}

#[tokio::test]
async fn issues_are_set_once_within_tier() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (_, admin) = operator.account("acme", json!({"tier": "basic"})).await;
    let give = |issues: Value| admin.generate(json!({"name": "provisioner", "issues": issues}));
    for (issues, field) in [
        (json!({}), "issues"),
        (json!({"tier": "none"}), "issues.tier"),
        (json!({"tier": null}), "issues.tier"),
        (json!({"limits": {"minute": 0}}), "issues.limits.minute"),
        (json!({"addresses": []}), "issues.addresses"),
        (json!({"addresses": ["10.0.0.1/8"]}), "issues.addresses[0]"),
        (json!({"expiry_days": 0}), "issues.expiry_days"),
        (json!({"environments": ["prod"]}), "issues.environments"),
        (json!({"scope": "all"}), "issues.scope"),
        (json!([]), "issues"),
    ] {
        give(issues).await.refused_by(400, "invalid_request", field);
    }
    for (issues, field) in [
        (json!({"tier": "pro"}), "issues.tier"),
        (json!({"limits": {"minute": 101}}), "issues.limits.minute"),
    ] {
        give(issues).await.refused_by(403, "tier_exceeded", field);
    }
    let given = give(json!({"tier": "basic", "limits": {"minute": 100, "hour": 50}})).await;
    assert_eq!(given.status, StatusCode::CREATED, "{given:?}");
    let path = format!("/v1/keys/{}", given.text("/data/key_id"));
    admin
        .patch(&path, json!({"issues": {"tier": "free"}}))
        .await
        .refused_by(400, "invalid_request", "issues");
    let audit = admin.get("/v1/audit?action=key.create").await;
    let after = audit.at("/data/entries/0/after");
    assert_eq!(
        after["issues"],
        json!({"tier": "basic", "limits": {"minute": 100, "hour": 50}}),
        "{after}"
    );
    let mut row = imported("imported", "made elsewhere");
    row["issues"] = json!({"tier": "free"});
    let import = admin
        .send(Method::POST, "/v1/keys/import", json!({"keys": [row]}))
        .await;
    import.refused_by(400, "invalid_request", "keys[0].issues");
}

#[tokio::test]
async fn issued_limits_count_in_each_window() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let own = json!({"minute": 5, "hour": 50});
    for (issues, limits) in [
        (json!({"tier": "pro"}), json!({"minute": 5, "hour": 50})),
        (
            json!({"limits": {"day": 9}}),
            json!({"minute": 5, "hour": 50, "day": 9}),
        ),
        (
            json!({"tier": "pro", "limits": {"minute": 900}}),
            json!({"minute": 900, "hour": 50}),
        ),
        (
            json!({"environments": ["test"]}),
            json!({"minute": 5, "hour": 50}),
        ),
    ] {
        let given =
            json!({"name": issues.to_string(), "tier": "basic", "limits": own, "issues": issues});
        let (key, _) = manager(&plane, &admin, given).await;
        let made = key
            .generate(json!({"name": format!("made by {issues}")}))
            .await;
        assert_eq!(made.at("/data/limits"), &limits, "{issues}: {made:?}");
        for (window, most) in limits.as_object().unwrap() {
            let more = json!({"name": "more", "limits": {window: most.as_u64().unwrap() + 1}});
            too_much(&key.generate(more).await, &format!("limits.{window}"));
        }
    }
}

#[tokio::test]
async fn issued_issuer_stays_within_its_maker() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let wide = json!({"tier": "enterprise", "permissions": ["*"], "issues": {"addresses": "all"}});
    let (issuer, _) = manager(&plane, &admin, wide.clone()).await;
    let make = async |by: &Client<'_>, name: &str| {
        let made = by
            .generate(json!({"name": name, "permissions": ["*"]}))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        plane.bearer(&made.text("/data/api_key"))
    };
    let issued = make(&issuer, "issued").await;
    let of_issued = make(&issued, "issued by an issued one").await;
    // These keys have no other restriction.
    let other = json!({"name": "other", "tier": "enterprise", "permissions": ["*"]});
    let other = format!(
        "/v1/keys/{}",
        admin.generate(other).await.text("/data/key_id")
    );
    for key in [&issuer, &issued, &of_issued] {
        let user = json!({"email": "new@localhost", "password": PASSWORD});
        let answer = key.send(Method::POST, "/v1/users", user).await;
        answer.refused(403, "missing_permission");
        assert!(answer.text("/error").contains("`issues`"), "{answer:?}");
        too_much(
            &key.send(Method::POST, &format!("{other}/regenerate"), json!({}))
                .await,
            "issues",
        );
        too_much(
            &key.generate(json!({"name": "issuer", "issues": {"tier": "enterprise"}}))
                .await,
            "issues",
        );
        assert_eq!(
            admin.patch(&other, json!({"active": false})).await.status,
            StatusCode::OK
        );
        too_much(&key.patch(&other, json!({"active": true})).await, "issues");
    }
}

#[tokio::test]
async fn changed_issuable_tier_bounds_issued_keys() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (key, _) = manager(
        &plane,
        &admin,
        json!({"tier": "enterprise", "issues": {"tier": "basic"}}),
    )
    .await;
    let made = key
        .generate(json!({"name": "made", "tier": "free", "limits": {"minute": 90}}))
        .await;
    assert_eq!(made.at("/data/limits"), &json!({"minute": 90}), "{made:?}");
    let path = format!("/v1/keys/{}", made.text("/data/key_id"));
    let table = |free: u32, basic: u32| {
        tiers(
            json!({"basic": {"minute": basic}, "enterprise": {"minute": 10_000}, "free": {"minute": free}}),
        )
    };
    for (free, basic, limit) in [(10, 8, 8), (5_000, 5_000, 90), (5_000, 10, 10)] {
        assert_eq!(
            admin.put("/v1/tiers", table(free, basic)).await.status,
            StatusCode::OK
        );
        assert_eq!(
            admin.get(&path).await.at("/data/limits"),
            &json!({"minute": limit})
        );
    }
}
