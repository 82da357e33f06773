//! Tests databases with keys that were imported before there was an at-rest key.

use super::*;
use crate::migration::{first_schema, migrate_before};

const CURRENT: &str = "pin-100001";
const OLD: &str = "pin-100002";
const BURIED: &str = "pin-100003";

fn mask(key: &str) -> String {
    format!(
        "sha256:{}...",
        &format!("{:?}", KeyDigest::of(key.as_bytes()))[..8]
    )
}

/// Creates a database of the previous version, with plain digests and their masks.
async fn with_plain_imports(database: &Path) {
    first_schema(database).await;
    let pool = migrate_before("0022", database).await;
    let digest = |key: &str| KeyDigest::of(key.as_bytes()).0.to_vec();
    let current = "UPDATE keys SET imported = TRUE, digest = ?, masked = ? WHERE name = 'one'";
    sqlx::query(current)
        .bind(digest(CURRENT))
        .bind(mask(CURRENT))
        .execute(&pool)
        .await
        .unwrap();
    let old = "INSERT INTO old_secrets (digest, key_seq, secret, masked, imported, created_at, ends_at, removed, revision) \
         SELECT ?, seq, 1, ?, TRUE, 5, 4000000000, FALSE, 6 FROM keys WHERE name = 'two'";
    sqlx::query(old)
        .bind(digest(OLD))
        .bind(mask(OLD))
        .execute(&pool)
        .await
        .unwrap();
    let second = "UPDATE keys SET secret = 2 WHERE name = 'two'";
    sqlx::query(second).execute(&pool).await.unwrap();
    sqlx::query("INSERT INTO tombstones (digest) VALUES (?)")
        .bind(digest(BURIED))
        .execute(&pool)
        .await
        .unwrap();
    let shown = json!({"name": "sha256:0000aaaa...", "key_prefix": mask(CURRENT)}).to_string();
    let entry = "INSERT INTO audit (account_id, at, actor_kind, action, target_kind, before, after) \
         VALUES ('acc_1', 5, 'system', 'key.edit', 'key', ?1, ?1)";
    sqlx::query(entry)
        .bind(&shown)
        .execute(&pool)
        .await
        .unwrap();
    let webhook = "INSERT INTO webhooks (id, account_id, url, secret, events, expiring_days, created_at, updated_at) \
         VALUES ('whk_1', 'acc_1', 'https://example.com', x'00', '[]', '[]', 5, 5)";
    sqlx::query(webhook).execute(&pool).await.unwrap();
    let body =
        json!({"data": {"key_prefix": mask(CURRENT), "old_secret": {"key_prefix": mask(OLD)}}})
            .to_string();
    let delivery = "INSERT INTO webhook_deliveries (id, webhook_id, event, body, created_at, done_at) \
         VALUES ('msg_1', 'whk_1', 'key.created', ?, 5, 1800000000)";
    sqlx::query(delivery)
        .bind(body)
        .execute(&pool)
        .await
        .unwrap();
    let call = "INSERT INTO repeatable_calls (account_id, caller_id, call, key_hash, body_hash, data, bytes, made_at) \
         VALUES ('acc_1', 'usr_1', ?, x'00', ?, ?, 2, 1800000000)";
    let hash = unkeyed_body_hash("header", "body");
    for (path, data) in [
        ("POST /v1/keys/import", "{}".to_owned()),
        ("POST /v1/keys/generate", shown),
    ] {
        sqlx::query(call)
            .bind(path)
            .bind(&hash)
            .bind(data)
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;
    assert!(
        contains(&bytes(database), &digest(CURRENT)),
        "the test begins with what is to go"
    );
}

#[tokio::test]
async fn next_start_encrypts_plain_digests() {
    let mut plane =
        Plane::start_after(&["--admin-email=second@localhost"], with_plain_imports).await;
    let keys = [CURRENT, OLD, BURIED];
    // No page of the file contains the keys, whether it is in use or not.
    confirms_nothing(&plane.database(), &keys);
    assert!(!contains(
        &bytes(&plane.database()),
        &unkeyed_body_hash("header", "body")
    ));
    let node = Node::ready(&plane).await;
    assert_eq!(
        node.snapshot.by(CURRENT).map(|key| key.name.as_str()),
        Some("one")
    );
    assert_eq!(
        node.snapshot.by(OLD).map(|key| key.name.as_str()),
        Some("two")
    );
    let client = plane.client("first@localhost").await;
    for key in keys {
        import(&client, key)
            .await
            .refused_by(409, "key_taken", "keys[0].sha256");
    }

    assert_eq!(
        client
            .get("/v1/keys/key_000000000001")
            .await
            .text("/data/key_prefix"),
        "imported"
    );
    assert_eq!(
        client
            .get("/v1/keys/key_000000000003")
            .await
            .text("/data/secrets/1/key_prefix"),
        "imported"
    );
    let entries = client.get("/v1/audit?action=key.edit").await;
    for side in ["before", "after"] {
        let expected = json!({"name": "sha256:0000aaaa...", "key_prefix": "imported"});
        assert_eq!(
            entries.at(&format!("/data/entries/0/{side}")),
            &expected,
            "only masks are replaced"
        );
    }
    let pool = plane.pool().await;
    let body: String = sqlx::query_scalar("SELECT body FROM webhook_deliveries")
        .fetch_one(&pool)
        .await
        .unwrap();
    let expected =
        json!({"data": {"key_prefix": "imported", "old_secret": {"key_prefix": "imported"}}});
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap(),
        expected
    );
    let change = sqlx::query("UPDATE audit SET at = 6").execute(&pool).await;
    assert!(
        change.unwrap_err().to_string().contains("append-only"),
        "the audit stays protected"
    );
    pool.close().await;

    let missing = restart_with(&mut plane, None).await.unwrap_err();
    assert!(missing.contains("but none is set"), "{missing}");
}

#[tokio::test]
async fn plain_digests_are_served_without_a_key() {
    let mut plane = Plane::start().await;
    plane.take().shutdown().await;
    let database = plane.database();
    fs::remove_file(&database).unwrap();
    with_plain_imports(&database).await;
    plane.at_rest_key = None;
    plane.run().await;
    let node = Node::ready(&plane).await;
    assert!(node.snapshot.by(CURRENT).is_some() && node.snapshot.by(OLD).is_some());
    restart_with(&mut plane, Some(AT_REST_KEY)).await.unwrap();
    confirms_nothing(&database, &[CURRENT, OLD, BURIED]);
    let node = Node::ready(&plane).await;
    assert!(node.snapshot.by(CURRENT).is_some() && node.snapshot.by(OLD).is_some());
}

/// Keeps the steps before the interruption, and completes the rest.
#[tokio::test]
async fn interrupted_encryption_resumes_on_next_start() {
    let mut plane =
        Plane::start_after(&["--admin-email=second@localhost"], with_plain_imports).await;
    plane.take().shutdown().await;
    let pool = plane.pool().await;
    let plain = KeyDigest::of(b"pin-100009").0.to_vec();
    for statement in [
        "UPDATE keys SET imported = TRUE, sealed = NULL, digest = ? WHERE name = 'three'",
        "INSERT INTO tombstones (digest) SELECT CAST(substr(?, 1, 31) || x'09' AS BLOB)",
        "UPDATE meta SET imports_sealed = length(?) = 0",
    ] {
        sqlx::query(statement)
            .bind(&plain)
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;
    plane.run().await;
    confirms_nothing(&plane.database(), &[CURRENT, OLD, BURIED, "pin-100009"]);
    let node = Node::ready(&plane).await;
    for (key, name) in [(CURRENT, "one"), (OLD, "two"), ("pin-100009", "three")] {
        assert_eq!(
            node.snapshot.by(key).map(|key| key.name.as_str()),
            Some(name),
            "{key}"
        );
    }
}
