//! Tests API keys as credentials of the management API, and limits on what callers can request.

use crate::harness::{Client, EMAIL, PASSWORD, Plane};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Creates a key of the administrator with the permissions in `body`.
async fn key<'a>(plane: &'a Plane, admin: &Client<'_>, body: Value) -> Client<'a> {
    let answer = admin.generate(body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    plane.bearer(&answer.text("/data/api_key"))
}

#[tokio::test]
async fn key_permissions_intersect_its_owners() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let ci = key(
        &plane,
        &admin,
        json!({"name": "CI", "permissions": ["account:apikeys:*", "dns:read"]}),
    )
    .await;
    let made = ci
        .generate(json!({"name": "made by a key", "permissions": ["dns:read"]}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(
        made.at("/data/owner"),
        admin.get("/v1/sessions/current").await.at("/data/user_id")
    );
    ci.get("/v1/users").await.refused(403, "missing_permission");
    ci.get("/v1/nodes").await.refused(403, "missing_permission");
    let more = ci
        .generate(json!({"name": "more", "permissions": ["dns:write"]}))
        .await;
    more.refused_by(403, "missing_permission", "permissions");

    // The key loses each permission that its owner loses.
    let path = admin
        .user(
            "dev@localhost",
            json!({"permissions": ["account:apikeys:*"]}),
        )
        .await;
    let dev = plane.client("dev@localhost").await;
    let of_dev = key(
        &plane,
        &dev,
        json!({"name": "dev's", "permissions": ["account:apikeys:read"]}),
    )
    .await;
    assert_eq!(of_dev.get("/v1/keys").await.status, StatusCode::OK);
    admin
        .patch(&path, json!({"permissions": ["account:apikeys:create"]}))
        .await;
    of_dev
        .get("/v1/keys")
        .await
        .refused(403, "missing_permission");
    admin.patch(&path, json!({"disabled": true})).await;
    of_dev.get("/v1/keys").await.refused(401, "disabled_key");
}

#[tokio::test]
async fn api_refuses_keys_as_the_filter_does() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let reads = |name: &str, more: Value| {
        let mut body = json!({"name": name, "permissions": ["account:apikeys:read"]});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let expiring = key(
        &plane,
        &admin,
        reads("expiring", json!({"expires_at": "2027-01-15T08:10:00Z"})),
    )
    .await;
    assert_eq!(expiring.get("/v1/keys").await.status, StatusCode::OK);
    plane.clock.advance(600);
    expiring.get("/v1/keys").await.refused(401, "expired_key");

    let elsewhere = key(
        &plane,
        &admin,
        reads("elsewhere", json!({"allowed_ips": ["192.0.2.1"]})),
    )
    .await;
    elsewhere.get("/v1/keys").await.refused(403, "ip_denied");
    let here = key(
        &plane,
        &admin,
        reads("here", json!({"allowed_ips": ["127.0.0.0/8"]})),
    )
    .await;
    assert_eq!(here.get("/v1/keys").await.status, StatusCode::OK);

    let id = here.get("/v1/sessions/current").await.text("/data/key_id");
    admin
        .patch(&format!("/v1/keys/{id}"), json!({"active": false}))
        .await;
    here.get("/v1/keys").await.refused(401, "disabled_key");
    admin
        .patch(&format!("/v1/keys/{id}"), json!({"active": true}))
        .await;
    assert_eq!(here.get("/v1/keys").await.status, StatusCode::OK);
    admin.delete(&format!("/v1/keys/{id}")).await;
    here.get("/v1/keys").await.refused(401, "invalid_key");

    plane
        .bearer("not a key")
        .get("/v1/keys")
        .await
        .refused(401, "invalid_session");
    plane
        .bearer("something-else-entirely")
        .get("/v1/keys")
        .await
        .refused(401, "invalid_session");
    plane
        .bearer("lk_live_0123456789abcdefghijABCDEFGHIJ01")
        .get("/v1/keys")
        .await
        .refused(401, "invalid_key");
}

/// A key is accepted as `x-api-key` too.
#[tokio::test]
async fn two_credentials_are_ambiguous() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let reader = key(
        &plane,
        &admin,
        json!({"name": "reader", "permissions": ["account:apikeys:read"]}),
    )
    .await;
    let by_header = |token: &str| {
        plane
            .request(Method::GET, "/v1/keys")
            .header("x-api-key", token)
    };
    assert_eq!(
        by_header(&reader.token).send().await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(
        by_header(&reader.token)
            .bearer_auth(&reader.token)
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    let both = crate::harness::Answer::to(by_header(&reader.token).bearer_auth(&admin.token)).await;
    both.refused(401, "ambiguous_key");
}

#[tokio::test]
async fn confined_key_makes_only_confined_keys() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (dev, prod) = (
        admin.subaccount("dev").await,
        admin.subaccount("prod").await,
    );
    let permissions = json!(["account:apikeys:*"]);
    let kept = json!({"name": "kept", "permissions": permissions, "allowed_subaccounts": [dev]});
    let kept = key(&plane, &admin, kept).await;
    let own = kept.generate(json!({"name": "own"})).await;
    assert_eq!(own.at("/data/allowed_subaccounts"), &json!([dev]));
    let other = kept
        .generate(json!({"name": "other", "allowed_subaccounts": [prod]}))
        .await;
    other.refused_by(403, "subaccount_denied", "allowed_subaccounts[0]");
    // This key could not have created a key for all subaccounts of its owner.
    let id = admin.key("all").await;
    let wider = kept
        .patch(
            &format!("/v1/keys/{id}"),
            json!({"limits": {"minute": 1000}}),
        )
        .await;
    wider.refused(403, "subaccount_denied");
}

#[tokio::test]
async fn restricted_key_makes_only_restricted_keys() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let expires_at = "2027-01-16T08:00:00Z";
    let bound = json!({
        "name": "bound", "roles": ["admin"], "scope": ["latchkey"], "expires_at": expires_at,
        "allowed_ips": ["127.0.0.0/8"],
    });
    let bound = key(&plane, &admin, bound).await;
    let id = bound.get("/v1/sessions/current").await.text("/data/key_id");

    // Users are not restricted like the key, and could create unrestricted keys.
    let user = json!({"email": "free@localhost", "password": PASSWORD, "roles": ["admin"]});
    bound
        .send(Method::POST, "/v1/users", user)
        .await
        .refused(403, "missing_permission");
    let other = admin.user("other@localhost", json!({})).await;
    bound
        .patch(&other, json!({"password": "another password"}))
        .await
        .refused(403, "missing_permission");
    let account = json!({
        "name": "free", "tier": "free", "admin": {"email": "free@localhost", "password": PASSWORD},
    });
    bound
        .send(Method::POST, "/v1/accounts", account)
        .await
        .refused(403, "missing_permission");

    let make = async |name: &str, more: Value| {
        let mut body = json!({"name": name, "scope": ["latchkey"]});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        bound.generate(body).await
    };
    for (more, field) in [
        (json!({"scope": "all"}), "scope"),
        (json!({"expires_at": "2027-01-16T08:00:01Z"}), "expires_at"),
        (json!({"allowed_ips": ["192.0.2.1"]}), "allowed_ips"),
        (json!({"denied_ips": ["192.0.2.1"]}), "allowed_ips"),
    ] {
        make("more", more)
            .await
            .refused_by(403, "missing_permission", field);
    }
    let made = make("as bound", json!({})).await;
    assert_eq!(made.text("/data/expires_at"), expires_at);
    assert_eq!(made.at("/data/allowed_ips/0/cidr"), "127.0.0.0/8");
    assert_eq!(
        make("shorter", json!({"expires_at": "2027-01-15T09:00:00Z"}))
            .await
            .status,
        StatusCode::CREATED
    );

    for (edit, field) in [
        (json!({"expires_at": null}), "expires_at"),
        (json!({"allowed_ips": []}), "allowed_ips"),
    ] {
        bound
            .patch(&format!("/v1/keys/{id}"), edit)
            .await
            .refused_by(403, "missing_permission", field);
    }
    let again = bound
        .send(
            Method::POST,
            &format!("/v1/keys/{id}/regenerate"),
            json!({}),
        )
        .await;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
    let longer = admin
        .generate(json!({"name": "longer", "scope": ["latchkey"]}))
        .await
        .text("/data/key_id");
    let path = format!("/v1/keys/{longer}/regenerate");
    let again = plane
        .bearer(&again.text("/data/api_key"))
        .send(Method::POST, &path, json!({}))
        .await;
    again.refused_by(403, "missing_permission", "expires_at");
}

/// The owner may act on some subaccounts only.
#[tokio::test]
async fn key_of_confined_owner_regenerates_itself() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let dev = admin.subaccount("dev").await;
    let holding = json!({"permissions": ["account:apikeys:*"], "subaccounts": [dev]});
    admin.user("dev@localhost", holding).await;
    let client = plane.client("dev@localhost").await;
    let ci = key(
        &plane,
        &client,
        json!({"name": "CI", "permissions": ["account:apikeys:*"]}),
    )
    .await;
    let id = ci.get("/v1/sessions/current").await.text("/data/key_id");
    let again = ci
        .send(
            Method::POST,
            &format!("/v1/keys/{id}/regenerate"),
            json!({}),
        )
        .await;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
}

#[tokio::test]
async fn api_use_counts_as_last_use() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let reader = key(
        &plane,
        &admin,
        json!({"name": "reader", "permissions": ["account:apikeys:read"]}),
    )
    .await;
    let id = reader
        .get("/v1/sessions/current")
        .await
        .text("/data/key_id");
    let shown = admin.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(shown.text("/data/last_used_at"), "2027-01-15T08:00:00Z");
    assert_eq!(shown.text("/data/last_used_ip"), "127.0.0.1");
    plane.clock.advance(60);
    reader.get("/v1/keys").await;
    assert_eq!(
        admin
            .get(&format!("/v1/keys/{id}"))
            .await
            .text("/data/last_used_at"),
        "2027-01-15T08:01:00Z"
    );
}

#[tokio::test]
async fn caller_over_its_rate_must_wait() {
    let plane = Plane::start_with(&["--calls-per-minute=3"]).await;
    let admin = plane.log_in().await;
    for remaining in ["2", "1", "0"] {
        let answer = admin.get("/v1/roles").await;
        assert_eq!(answer.status, StatusCode::OK);
        let headers = ["limit", "remaining", "reset"]
            .map(|name| answer.headers[&format!("x-ratelimit-{name}")].clone());
        assert_eq!(
            headers.map(|value| value.to_str().unwrap().to_owned()),
            ["3", remaining, "1800000060"]
        );
    }
    let refused = admin.get("/v1/roles").await;
    refused.refused(429, "rate_limited");
    assert_eq!(refused.headers["retry-after"], "60");
    assert!(
        refused.text("/error").contains("3 requests per minute"),
        "{refused:?}"
    );
    // Another session of the same user is the same caller.
    plane
        .client(EMAIL)
        .await
        .get("/v1/roles")
        .await
        .refused(429, "rate_limited");
    plane.clock.advance(60);
    assert_eq!(admin.get("/v1/roles").await.status, StatusCode::OK);
}

#[tokio::test]
async fn guessing_address_must_wait() {
    let plane = Plane::start_with(&["--trusted-hops=1"]).await;
    let log_in = async |address: &str, email: &str, password: &str| {
        let body = json!({"email": email, "password": password});
        let request = plane
            .request(Method::POST, "/v1/sessions")
            .header("x-forwarded-for", address)
            .json(&body);
        crate::harness::Answer::to(request).await
    };
    for n in 0..60 {
        log_in("192.0.2.1", &format!("{n}@localhost"), "wrong password")
            .await
            .refused(401, "invalid_credentials");
    }
    log_in("192.0.2.1", EMAIL, PASSWORD)
        .await
        .refused(429, "too_many_requests");
    assert_eq!(
        log_in("192.0.2.2", EMAIL, PASSWORD).await.status,
        StatusCode::OK
    );
    plane.clock.advance(60);
    assert_eq!(
        log_in("192.0.2.1", EMAIL, PASSWORD).await.status,
        StatusCode::OK
    );
}
