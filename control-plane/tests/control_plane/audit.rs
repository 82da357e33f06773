//! Tests the audit: it records every change by a user or key, with who, when and from where. It is
//! append-only and contains no secret.

use crate::harness::{Answer, Client, EMAIL, PASSWORD, Plane};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn entries(client: &Client<'_>, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("/v1/audit?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.at("/data/entries").as_array().unwrap().clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn every_change_is_audited() {
    let plane = Plane::start_with(&["--trusted-hops=1"]).await;
    let admin = plane.log_in().await;
    plane.clock.advance(10);
    let id = admin.key("CI").await;
    let edit = admin
        .request(Method::PATCH, &format!("/v1/keys/{id}"))
        .json(&json!({"limits": {"minute": 5}}));
    let edit = edit
        .header("x-forwarded-for", "198.51.100.7")
        .header("x-request-id", "edit-1");
    assert_eq!(Answer::to(edit).await.status, StatusCode::OK);
    // A change without a difference is not recorded.
    admin
        .patch(&format!("/v1/keys/{id}"), json!({"limits": {"minute": 5}}))
        .await;
    admin.delete(&format!("/v1/keys/{id}")).await;
    admin.delete(&format!("/v1/keys/{id}")).await;
    let user = admin
        .user("dev@localhost", json!({"roles": ["dns_manager"]}))
        .await;
    admin
        .patch(&user, json!({"password": "another password", "roles": []}))
        .await;
    let subaccount = admin.subaccount("dev").await;
    admin.delete(&format!("/v1/subaccounts/{subaccount}")).await;
    admin
        .put("/v1/routes", json!({"rules": [], "unmatched": "deny"}))
        .await;
    let tiers = json!({"tiers": [{"name": "basic", "limits": {"minute": 7}}]});
    assert_eq!(admin.put("/v1/tiers", tiers).await.status, StatusCode::OK);

    let all = entries(&admin, "").await;
    assert_eq!(
        actions(&all),
        [
            "tiers.update",
            "routes.update",
            "subaccount.delete",
            "subaccount.create",
            "user.update",
            "user.create",
            "key.revoke",
            "key.update",
            "key.create",
            "session.create",
            "user.create",
        ]
    );
    let [update, create] = [&all[7], &all[8]];
    assert_eq!(update["before"], json!({"limits": {}}));
    assert_eq!(update["after"], json!({"limits": {"minute": 5}}));
    assert_eq!(
        update["target"],
        json!({"type": "key", "id": id, "name": "CI"})
    );
    assert_eq!(
        (&update["source_address"], &update["request_id"]),
        (&json!("198.51.100.7"), &json!("edit-1"))
    );
    assert_eq!(update["at"], "2027-01-15T08:00:10Z");
    assert_eq!(
        (&update["actor"]["type"], &update["actor"]["name"]),
        (&json!("user"), &json!(EMAIL))
    );
    assert_eq!(
        (&create["before"], &create["after"]["name"]),
        (&Value::Null, &json!("CI"))
    );
    // No proxy has reported the client's address.
    assert_eq!(create["source_address"], Value::Null);
    assert_eq!(
        all[4]["after"],
        json!({"roles": [], "password": "[redacted]"})
    );
    assert_eq!(
        all[10]["actor"],
        json!({"type": "system", "id": null, "name": null})
    );
}

#[tokio::test]
async fn key_actions_are_audited_as_its_own() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let key = admin
        .generate(json!({"name": "CI", "permissions": ["account:*"]}))
        .await;
    plane.bearer(&key.text("/data/api_key")).key("made").await;
    let newest = &entries(&admin, "limit=1").await[0];
    assert_eq!(
        newest["actor"],
        json!({"type": "key", "id": key.text("/data/key_id"), "name": "CI"})
    );
}

#[tokio::test]
async fn refused_change_leaves_no_audit_entry() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    admin.key("CI").await;
    let before = entries(&admin, "").await.len();
    admin
        .generate(json!({"name": "CI"}))
        .await
        .refused_by(409, "name_taken", "name");
    admin
        .delete("/v1/keys/key_000000000000")
        .await
        .refused(404, "key_not_found");
    plane
        .log_in_as(EMAIL, "a wrong password")
        .await
        .refused(401, "invalid_credentials");
    assert_eq!(entries(&admin, "").await.len(), before);
}

#[tokio::test]
async fn audit_is_read_in_filtered_pages() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    for n in 0..5 {
        admin.key(&format!("key {n}")).await;
        plane.clock.advance(60);
    }
    let first = admin.get("/v1/audit?limit=3&action=key").await;
    assert_eq!(first.at("/data/entries").as_array().unwrap().len(), 3);
    let cursor = first.text("/data/next_cursor");
    let second = admin
        .get(&format!("/v1/audit?limit=3&action=key&cursor={cursor}"))
        .await;
    assert_eq!(second.at("/data/entries/0/target/name"), "key 1");
    assert_eq!(second.at("/data/entries").as_array().unwrap().len(), 2);
    assert_eq!(second.at("/data/next_cursor"), &Value::Null);

    let named = |entries: Vec<Value>| {
        entries
            .iter()
            .map(|entry| entry["target"]["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(named(entries(&admin, "target=key%203").await), ["key 3"]);
    let window = "action=key.create&since=2027-01-15T08:01:00Z&until=2027-01-15T08:03:00Z";
    assert_eq!(named(entries(&admin, window).await), ["key 2", "key 1"]);
    assert_eq!(entries(&admin, "action=ke").await.len(), 0);
    assert_eq!(
        entries(&admin, &format!("actor={EMAIL}&action=key"))
            .await
            .len(),
        5
    );
    for (query, field) in [
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("since=x", "since"),
        ("page=1", "page"),
    ] {
        admin
            .get(&format!("/v1/audit?{query}"))
            .await
            .refused_by(400, "invalid_request", field);
    }
}

#[tokio::test]
async fn audit_needs_its_permission() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    admin
        .user(
            "dev@localhost",
            json!({"permissions": ["account:apikeys:*"]}),
        )
        .await;
    plane
        .client("dev@localhost")
        .await
        .get("/v1/audit")
        .await
        .refused(403, "missing_permission");
}

#[tokio::test]
async fn audit_cannot_be_rewritten() {
    let plane = Plane::start().await;
    plane.log_in().await;
    let pool = plane.pool().await;
    for statement in ["UPDATE audit SET action = 'nothing'", "DELETE FROM audit"] {
        let error = sqlx::query(statement).execute(&pool).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

#[tokio::test]
async fn audit_contains_no_secret() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let key = admin
        .generate(json!({"name": "CI", "permissions": ["account:*"]}))
        .await
        .text("/data/api_key");
    let user = admin.user("dev@localhost", json!({})).await;
    admin
        .patch(&user, json!({"password": "another secret of the tests"}))
        .await;
    let reported = format!("{:?}", entries(&admin, "").await);
    for secret in [
        key.as_str(),
        &key[8..],
        PASSWORD,
        "another secret of the tests",
        &admin.token,
    ] {
        assert!(!reported.contains(secret), "{secret} in {reported}");
    }
    assert!(
        reported.contains(&format!("{}...", &key[..12])),
        "{reported}"
    );
}
