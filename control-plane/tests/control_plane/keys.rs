//! Tests `/v1/keys`.

use crate::harness::{Plane, plain_key};
use latchkey_policy::key::{Environment, KeyFormat};
use latchkey_store::{NewKey, StoreError};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_key_is_shown_once() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let answer = client.generate(json!({"name": "  CI  "})).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.text("/message"), "API key generated successfully");

    let secret = answer.text("/data/api_key");
    assert_eq!(
        KeyFormat::default().check(secret.as_bytes()),
        Ok(Environment::Live)
    );
    let mask = format!("{}...{}", &secret[..12], &secret[36..]);
    let owner = &plane.owner().await.1;
    let mut expected = json!({
        "key_id": answer.text("/data/key_id"), "name": "CI", "description": null, "key_prefix": mask,
        "secrets": [{
            "key_prefix": mask, "created_at": "2027-01-15T08:00:00Z", "ends_at": null, "last_used_at": null,
            "last_used_ip": null,
        }],
        "environment": "live", "tier": "basic", "rate_limit": 100, "limits": {"minute": 100}, "scope": "all", "roles": [], "permissions": [],
        "allowed_subaccounts": [], "allowed_ips": [], "denied_ips": [],
        "allowed_ips_count": 0,
        "denied_ips_count": 0, "issues": null, "expires_at": null, "owner": owner,
        "active": true, "disabled": false, "created_at": "2027-01-15T08:00:00Z", "updated_at": "2027-01-15T08:00:00Z",
        "last_used_at": null, "last_used_ip": null,
    });
    let id = answer.text("/data/key_id");
    assert!(id.starts_with("key_") && id.len() == 16, "{id}");

    let shown = client.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(shown.text("/message"), "API key retrieved successfully");
    let mut alone = expected.clone();
    alone["usage"] = shown.at("/data/usage").clone();
    assert_eq!(shown.at("/data"), &alone);
    let listed = client.get("/v1/keys").await;
    assert_eq!(listed.text("/message"), "API keys retrieved successfully");
    let mut summary = expected.clone();
    summary
        .as_object_mut()
        .unwrap()
        .retain(|field, _| field != "allowed_ips" && field != "denied_ips");
    assert_eq!(listed.at("/data/keys"), &json!([summary]));

    expected["api_key"] = json!(secret);
    expected["enforcement"] = answer.at("/data/enforcement").clone();
    assert_eq!(answer.at("/data"), &expected);
    assert_eq!(answer.enforcement(), (0, 0));
    assert_eq!(
        answer.number("/data/enforcement/revision"),
        plane.store().revision()
    );
}

#[tokio::test]
async fn key_has_the_requested_attributes() {
    let plane = Plane::start_with(&["--key-prefix=vg"]).await;
    let client = plane.log_in().await;
    let asked = json!({
        "name": "Zoë's \"key\"", "description": "two\nlines", "environment": "test", "tier": "enterprise",
        "expires_at": "2027-01-15T10:00:00.5+01:00",
        "allowed_ips": ["192.0.2.1", {"cidr": "2001:db8::/32", "enabled": false}], "denied_ips": [{"cidr": "10.0.0.0/8"}],
    });
    let answer = client.generate(asked).await;
    assert!(answer.text("/data/api_key").starts_with("vg_test_"));
    let id = answer.text("/data/key_id");
    let shown = client.get(&format!("/v1/keys/{id}")).await;
    for (field, value) in [
        ("name", json!("Zoë's \"key\"")),
        ("description", json!("two\nlines")),
        ("environment", json!("test")),
        ("tier", json!("enterprise")),
        ("rate_limit", json!(10_000)),
        ("expires_at", json!("2027-01-15T09:00:00Z")),
        ("active", json!(true)),
        (
            "allowed_ips",
            json!([{"cidr": "192.0.2.1/32", "enabled": true}, {"cidr": "2001:db8::/32", "enabled": false}]),
        ),
        (
            "denied_ips",
            json!([{"cidr": "10.0.0.0/8", "enabled": true}]),
        ),
    ] {
        assert_eq!(shown.at(&format!("/data/{field}")), &value);
    }
    plane.clock.advance(3599);
    // The session has also ended in that hour.
    let client = plane.log_in().await;
    assert_eq!(
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .at("/data/active"),
        true
    );
    plane.clock.advance(1);
    assert_eq!(
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .at("/data/active"),
        false
    );
}

#[tokio::test]
async fn every_tier_has_its_rate() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for (tier, rate) in [
        ("free", 10),
        ("basic", 100),
        ("pro", 1_000),
        ("enterprise", 10_000),
    ] {
        let answer = client.generate(json!({"name": tier, "tier": tier})).await;
        assert_eq!(answer.number("/data/rate_limit"), rate);
    }
}

#[tokio::test]
async fn revoked_key_is_not_listed() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    plane.clock.advance(60);
    let revoked = client.delete(&path).await;
    assert_eq!(revoked.status, StatusCode::OK);
    assert_eq!(revoked.text("/message"), "API key revoked successfully");
    assert_eq!(revoked.text("/data/revoked_at"), "2027-01-15T08:01:00Z");
    assert_eq!(client.total().await, 0);
    let shown = client.get(&path).await;
    assert_eq!(shown.at("/data/active"), false);
    assert_eq!(shown.text("/data/revoked_at"), "2027-01-15T08:01:00Z");
    assert_eq!(shown.text("/data/updated_at"), "2027-01-15T08:01:00Z");
}

#[tokio::test]
async fn repeated_revocation_changes_nothing() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    let first = client.delete(&path).await;
    client.key("another").await;
    let revision = plane.store().revision();
    plane.clock.advance(60);
    let second = client.delete(&path).await;
    assert_eq!(second.status, StatusCode::OK);
    for pointer in [
        "/data/key_id",
        "/data/revoked_at",
        "/data/enforcement/revision",
    ] {
        assert_eq!(second.at(pointer), first.at(pointer));
    }
    assert_eq!(plane.store().revision(), revision);
}

#[tokio::test]
async fn revoked_key_frees_its_name() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let revision = plane.store().revision();
    let taken = client.generate(json!({"name": " CI "})).await;
    taken.refused(409, "name_taken");
    assert_eq!(taken.body["field"], "name");
    assert_eq!(
        (client.total().await, plane.store().revision()),
        (1, revision)
    );
    client.delete(&format!("/v1/keys/{id}")).await;
    assert_ne!(client.key("CI").await, id);
}

#[tokio::test]
async fn missing_key_is_not_found() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for id in [
        "key_000000000000",
        "nonsense",
        "%ff",
        "key_000000000000%00",
        "'%20OR%201=1",
    ] {
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .refused(404, "key_not_found");
        client
            .delete(&format!("/v1/keys/{id}"))
            .await
            .refused(404, "key_not_found");
    }
}

#[tokio::test]
async fn another_accounts_key_is_not_found() {
    let plane = Plane::start().await;
    let pool = plane.pool().await;
    for statement in [
        "INSERT INTO accounts (id, name, tier, created_at) VALUES ('acc_other', 'other', 'pro', 2000000000)",
        "INSERT INTO users (id, account_id, email, password_hash, created_at) \
         VALUES ('usr_other', 'acc_other', 'other@localhost', '', 2000000000)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let key = NewKey::new(
        "acc_other",
        "usr_other",
        "CI",
        &plain_key(),
        "pro",
        Environment::Live,
    );
    let theirs = plane
        .store()
        .create_keys(&[key], 0)
        .await
        .unwrap()
        .keys
        .remove(0)
        .id;

    let client = plane.log_in().await;
    client.key("CI").await;
    assert_eq!(client.total().await, 1);
    client
        .get(&format!("/v1/keys/{theirs}"))
        .await
        .refused(404, "key_not_found");
    client
        .delete(&format!("/v1/keys/{theirs}"))
        .await
        .refused(404, "key_not_found");
    assert_eq!(
        plane
            .store()
            .key("acc_other", &theirs)
            .await
            .unwrap()
            .revoked_at,
        None
    );
}

#[tokio::test]
async fn batch_is_all_or_nothing() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let made = plane.create_keys("batch", 1_000).await;
    assert_eq!((client.total().await, plane.store().revision()), (1_000, 2));

    let (account, user) = plane.owner().await;
    let new = |name: &str| {
        NewKey::new(
            account,
            user,
            name,
            &plain_key(),
            "basic",
            Environment::Live,
        )
    };
    let taken = plane
        .store()
        .create_keys(&[new("fresh"), new("batch-7")], 0)
        .await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");

    let mut ids: Vec<_> = made.into_iter().map(|(_, id)| id).collect();
    ids.push("key_000000000000".to_owned());
    let missing = plane.store().revoke_keys(account, &ids, 0).await;
    assert!(
        matches!(missing, Err(StoreError::KeyNotFound)),
        "{missing:?}"
    );
    assert_eq!((client.total().await, plane.store().revision()), (1_000, 2));

    ids.pop();
    plane.store().revoke_keys(account, &ids, 0).await.unwrap();
    assert_eq!((client.total().await, plane.store().revision()), (0, 3));
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let mut plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("kept").await;
    let gone = client.key("gone").await;
    client.delete(&format!("/v1/keys/{gone}")).await;
    let token = client.token.clone();
    let before = (plane.store().epoch(), plane.store().revision());
    plane.restart().await;
    assert_eq!((plane.store().epoch(), plane.store().revision()), before);
    let request = plane
        .request(reqwest::Method::GET, "/v1/keys")
        .bearer_auth(token);
    let listed: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["data"]["keys"][0]["name"], "kept");
    assert_eq!(listed["data"]["total"], 1);
}
