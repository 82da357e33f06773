//! Tests `email_taken` and `key_taken`, which must show little about other accounts.

use crate::harness::{Client, PASSWORD, Plane, imported};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn create(client: &Client<'_>, email: &str) -> crate::harness::Answer {
    client
        .send(
            Method::POST,
            "/v1/users",
            json!({"email": email, "password": PASSWORD}),
        )
        .await
}

async fn import(client: &Client<'_>, keys: Vec<Value>) -> crate::harness::Answer {
    client
        .send(Method::POST, "/v1/keys/import", json!({"keys": keys}))
        .await
}

/// Discloses twenty an hour.
#[tokio::test]
async fn taken_emails_are_disclosed_rarely() {
    let mut plane = Plane::start().await;
    let token = {
        let operator = plane.log_in().await;
        let (_, admin) = operator.account("acme", json!({})).await;
        let other = admin.user("other@acme", json!({})).await;
        for n in 0..20 {
            // Both kinds of calls that reveal it are used.
            let answer = match n % 2 {
                0 => create(&admin, "admin@localhost").await,
                _ => {
                    admin
                        .patch(&other, json!({"email": "admin@localhost"}))
                        .await
                }
            };
            answer.refused_by(409, "email_taken", "email");
        }
        plane.clock.advance(600);
        for email in ["admin@localhost", "free@acme"] {
            let answer = create(&admin, email).await;
            answer.refused(429, "too_many_conflicts");
            assert_eq!(answer.headers["retry-after"], "3000", "{email}");
            admin
                .patch(&other, json!({"email": email}))
                .await
                .refused(429, "too_many_conflicts");
        }
        let unrelated = admin.patch(&other, json!({"disabled": true})).await;
        assert_eq!(unrelated.status, StatusCode::OK, "it reveals nothing");
        admin.token
    };
    // Another session, a key or a restart does not reset the count.
    plane.restart().await;
    let admin = plane.client("admin@acme").await;
    create(&admin, "free@acme")
        .await
        .refused(429, "too_many_conflicts");
    let key = admin
        .generate(json!({"name": "CI", "permissions": ["account:users:create"]}))
        .await
        .text("/data/api_key");
    create(&plane.bearer(&key), "free@acme")
        .await
        .refused(429, "too_many_conflicts");
    let entries = admin
        .get("/v1/audit?action=user.email_taken&limit=1000")
        .await;
    assert_eq!(entries.at("/data/entries").as_array().unwrap().len(), 20);
    assert_eq!(
        entries.at("/data/entries/0/target"),
        &json!({"type": "user", "id": null, "name": "admin@localhost"})
    );
    plane.clock.advance(3_000);
    let admin = plane.client("admin@acme").await;
    assert_ne!(admin.token, token);
    assert_eq!(
        create(&admin, "free@acme").await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn new_items_disclose_no_more() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (_, admin) = operator.account("acme", json!({})).await;
    let mut reported = 0;
    let emails: Vec<_> = (0..7).map(|n| format!("user-{n}@acme")).collect();
    for email in &emails {
        admin.user(email, json!({"roles": ["admin"]})).await;
    }
    for (n, email) in emails.iter().enumerate() {
        let user = plane.client(email).await;
        for m in 0..3 {
            let key = user
                .generate(json!({"name": format!("{n}-{m}"), "roles": ["admin"]}))
                .await
                .text("/data/api_key");
            for _ in 0..7 {
                let answer = create(&plane.bearer(&key), "admin@localhost").await;
                reported += usize::from(answer.status == StatusCode::CONFLICT);
            }
        }
    }
    assert_eq!(reported, 100, "20 by user, 100 by account");
    create(&admin, "free@acme")
        .await
        .refused(429, "too_many_conflicts");
    assert_eq!(
        create(&operator, "free@localhost").await.status,
        StatusCode::CREATED,
        "other accounts go on"
    );
}

/// Discloses twenty an hour.
#[tokio::test]
async fn taken_foreign_keys_are_disclosed_rarely() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (_, admin) = operator.account("acme", json!({})).await;
    let guess = |n: usize| imported(&format!("guess-{n}"), &format!("secret-of-another-{n}"));
    assert_eq!(
        import(&operator, (0..30).map(guess).collect()).await.status,
        StatusCode::CREATED
    );
    // Conflicts with the account's own data do not count, such as those of a repeated import.
    admin.import("own", "a-secret-of-ours").await;
    for _ in 0..25 {
        import(&admin, vec![imported("again", "a-secret-of-ours")])
            .await
            .refused_by(409, "key_taken", "keys[0].sha256");
    }
    for n in 0..20 {
        // A batch only reports its first conflict.
        let rows = [imported("new", &format!("free-{n}")), guess(n), guess(29)];
        import(&admin, rows.into())
            .await
            .refused_by(409, "key_taken", "keys[1].sha256");
    }
    for row in [guess(25), imported("new", "free")] {
        import(&admin, vec![row])
            .await
            .refused(429, "too_many_conflicts");
    }
    let entries = admin.get("/v1/audit?action=key.key_taken&limit=1000").await;
    assert_eq!(entries.at("/data/entries").as_array().unwrap().len(), 20);
    assert_eq!(
        entries.at("/data/entries/0/target"),
        &json!({"type": "key", "id": null, "name": "guess-19"})
    );
    plane.clock.advance(3_600);
    let admin = plane.client("admin@acme").await;
    assert_eq!(
        import(&admin, vec![imported("new", "free")]).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn dry_run_discloses_taken_keys_equally() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (_, admin) = operator.account("acme", json!({})).await;
    let guess = |n: usize| imported(&format!("guess-{n}"), &format!("secret-of-another-{n}"));
    assert_eq!(
        import(&operator, (0..30).map(guess).collect()).await.status,
        StatusCode::CREATED
    );
    let dry_run = async |rows: std::ops::Range<usize>| {
        let keys: Vec<_> = rows.map(guess).collect();
        admin
            .send(
                Method::POST,
                "/v1/keys/import",
                json!({"keys": keys, "dry_run": true}),
            )
            .await
    };
    assert_eq!(dry_run(0..3).await.status, StatusCode::OK);
    let beyond = dry_run(0..30).await;
    beyond.refused(429, "too_many_conflicts");
    assert!(!beyond.body.to_string().contains("guess"), "{beyond:?}");
    dry_run(29..30).await.refused(429, "too_many_conflicts");
    let entries = admin.get("/v1/audit?action=key.key_taken&limit=1000").await;
    assert_eq!(entries.at("/data/entries").as_array().unwrap().len(), 20);
}
