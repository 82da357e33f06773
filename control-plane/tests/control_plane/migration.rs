//! Tests databases of earlier versions.

use crate::harness::{PASSWORD, Plane};
use crate::node::Node;
use argon2::{Argon2, PasswordHasher as _};
use latchkey_policy::limit::{Limits, Window};
use latchkey_policy::permission::Pattern;
use latchkey_policy::route::PathCase;
use reqwest::StatusCode;
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use std::fs;
use std::path::Path;

/// Creates a database of the first version, with three live keys of one policy and a revoked key.
pub(crate) async fn first_schema(database: &Path) {
    let migrations = tempfile::tempdir().unwrap();
    let start = "0001_start.sql";
    fs::copy(
        Path::new("store/migrations").join(start),
        migrations.path().join(start),
    )
    .unwrap();
    let options = SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    Migrator::new(migrations.path())
        .await
        .unwrap()
        .run(&pool)
        .await
        .unwrap();
    for statement in [
        "INSERT INTO meta (id, epoch, revision) VALUES (1, x'000102030405060708090a0b0c0d0e0f', 7)",
        "INSERT INTO accounts (id, name, tier, created_at) VALUES ('acc_1', 'first', 'pro', 5)",
        "INSERT INTO users (id, account_id, email, password_hash, created_at) \
         VALUES ('usr_1', 'acc_1', 'first@localhost', '', 5)",
        "INSERT INTO policies (id, account_id, user_id, tier, environment, allowed_ips, denied_ips, content, revision) \
         VALUES (1, 'acc_1', 'usr_1', 'pro', 'live', '[]', '[\"10.0.0.0/8\"]', x'01', 6)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let hash = Argon2::default()
        .hash_password(PASSWORD.as_bytes())
        .unwrap()
        .to_string();
    sqlx::query("UPDATE users SET password_hash = ?")
        .bind(hash)
        .execute(&pool)
        .await
        .unwrap();
    for (seq, name, revoked_at) in [
        (1, "one", None),
        (2, "gone", Some(6)),
        (3, "two", None),
        (9, "three", None),
    ] {
        let statement = "INSERT INTO keys (seq, id, account_id, user_id, policy_id, digest, masked, name, environment, \
             tier, allowed_ips, denied_ips, created_at, updated_at, revoked_at, revision) \
             VALUES (?1, 'key_' || printf('%012d', ?1), 'acc_1', 'usr_1', 1, ?2, 'lk_live_0000...0000', ?3, 'live', \
             'pro', '[]', '[{\"cidr\":\"10.0.0.0/8\",\"enabled\":true}]', 5, 5, ?4, 6)";
        let query = sqlx::query(statement)
            .bind(seq)
            .bind(vec![u8::try_from(seq).unwrap(); 32]);
        query
            .bind(name)
            .bind(revoked_at)
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;
}

#[tokio::test]
async fn keys_of_the_first_schema_stay_valid() {
    let plane = Plane::start_after(&["--admin-email=second@localhost"], first_schema).await;
    plane
        .log_in_as("second@localhost", PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    assert_eq!(
        plane.store().revision(),
        8,
        "what nodes hold is not what they are sent now"
    );
    let client = plane.client("first@localhost").await;
    let node = Node::ready(&plane).await;
    assert_eq!(node.snapshot.names(), ["one", "three", "two"]);
    let slots: Vec<_> = ["one", "two", "three"]
        .map(|name| node.snapshot.key(name))
        .map(|key| key.slot)
        .into();
    assert_eq!(slots, [0, 1, 2]);
    assert_eq!(
        (node.snapshot.key("one").secret, node.snapshot.imported()),
        (1, false)
    );
    let policy = node.snapshot.policy("one");
    assert_eq!(
        policy.limits,
        Limits::default().with(Window::Minute, Some(1_000))
    );
    assert_eq!(
        (
            policy.services.as_deref(),
            policy.grants.as_slice(),
            policy.confined
        ),
        (None, &[][..], false)
    );
    assert_eq!(
        policy.owner_grants,
        [Pattern::parse("*").unwrap()],
        "whoever was there could do everything"
    );

    let shown = client.get("/v1/keys/key_000000000001").await;
    assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    let secret = json!({
        "key_prefix": "lk_live_0000...0000", "created_at": "1970-01-01T00:00:05Z", "ends_at": null,
        "last_used_at": null, "last_used_ip": null,
    });
    for (field, value) in [
        ("scope", json!("all")),
        ("roles", json!([])),
        ("limits", json!({"minute": 1000})),
        ("secrets", json!([secret])),
    ] {
        assert_eq!(shown.at(&format!("/data/{field}")), &value);
    }
    client.delete("/v1/keys/key_000000000003").await;
    client.key("four").await;
    plane.clock.advance(3600);
    plane.client("first@localhost").await.key("five").await;
    let node = Node::ready(&plane).await;
    let slots = ["four", "five"].map(|name| node.snapshot.key(name).slot);
    assert_eq!(slots, [3, 1], "a slot is given out again after an hour");
}

/// Migrates a database of the first schema to the last migration before `end`.
pub(crate) async fn migrate_before(end: &str, database: &Path) -> SqlitePool {
    let migrations = tempfile::tempdir().unwrap();
    for entry in fs::read_dir("store/migrations").unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_str().unwrap() < end {
            fs::copy(
                Path::new("store/migrations").join(&name),
                migrations.path().join(&name),
            )
            .unwrap();
        }
    }
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(database))
        .await
        .unwrap();
    Migrator::new(migrations.path())
        .await
        .unwrap()
        .run(&pool)
        .await
        .unwrap();
    pool
}

/// Creates a database of version 0.1, with keys and a node that was connected.
async fn version_0_1(database: &Path) {
    first_schema(database).await;
    let pool = migrate_before("0007", database).await;
    let node = "INSERT INTO nodes (node_id, instance, version) VALUES ('edge-1', '18ec3a20b1058a00', '0.1.0')";
    sqlx::query(node).execute(&pool).await.unwrap();
    pool.close().await;
}

/// The nodes that the database knew count.
#[tokio::test]
async fn database_of_0_1_keeps_keys() {
    let plane = Plane::start_after(&["--node-grace-ms=60000"], version_0_1).await;
    let client = plane.client("first@localhost").await;
    let nodes = client.get("/v1/nodes").await;
    let lost = nodes
        .at("/data/nodes")
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["node_id"] == "edge-1");
    assert_eq!(lost.unwrap()["connected"], false, "{nodes:?}");
    let revoked = client.delete("/v1/keys/key_000000000003?wait_ms=0").await;
    let (counted, acknowledged) = revoked.enforcement();
    assert!(
        counted > acknowledged,
        "it may still be serving: {revoked:?}"
    );
    let node = Node::ready(&plane).await;
    assert_eq!(node.snapshot.names(), ["one", "three"]);
    // Version 0.1 had only one shared token, which is not in the list.
    assert_eq!(client.get("/v1/node-tokens").await.number("/data/total"), 0);
}

/// Creates a database from before services and limits of accounts. Two of the live keys name
/// services.
async fn without_services(database: &Path) {
    first_schema(database).await;
    let pool = migrate_before("0005", database).await;
    for (name, scope) in [
        ("one", r#"["dns","latchkey"]"#),
        ("gone", r#"["old"]"#),
        ("three", r#"["cdn","dns"]"#),
    ] {
        let query = sqlx::query("UPDATE keys SET scope = ? WHERE name = ?")
            .bind(scope)
            .bind(name);
        query.execute(&pool).await.unwrap();
    }
    pool.close().await;
}

#[tokio::test]
async fn migration_registers_services_and_counts_keys() {
    let plane = Plane::start_after(&[], without_services).await;
    let client = plane.client("first@localhost").await;
    let services = client.get("/v1/services").await;
    let names: Vec<_> = services
        .at("/data/services")
        .as_array()
        .unwrap()
        .iter()
        .map(|service| &service["name"])
        .collect();
    assert_eq!(names, ["cdn", "dns"]);
    let account = client.get("/v1/accounts/acc_1").await;
    assert_eq!(
        (account.number("/data/keys"), account.at("/data/max_keys")),
        (3, &json!(null))
    );
}

#[tokio::test]
async fn owner_without_password_can_get_an_administrator() {
    let flags = ["--admin-email=second@localhost", "--admin-recover"];
    let mut plane = Plane::start_after(&flags, first_schema).await;
    assert_eq!(
        plane.log_in_as("second@localhost", PASSWORD).await.status,
        StatusCode::OK
    );
    // The requested administrator already exists.
    plane.restart().await;
    assert_eq!(
        plane
            .client("second@localhost")
            .await
            .get("/v1/users")
            .await
            .number("/data/total"),
        2
    );
}

/// Creates a database of the previous version with a document of route rules.
async fn with_rules(database: &Path, document: &str) {
    without_services(database).await;
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(database))
        .await
        .unwrap();
    let changed = sqlx::query("UPDATE routes SET document = ?")
        .bind(document)
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    pool.close().await;
}

/// Rules that differ from each other only by case are the exception.
#[tokio::test]
async fn migrated_rules_refuse_other_cases() {
    let one = r#"{"rules":[{"path":{"prefix":"/v1/admin"},"permission":"admin:read"}],"unmatched":"deny"}"#;
    let two = r#"{"rules":[{"path":{"exact":"/a"},"public":true},{"path":{"exact":"/A"}}],"unmatched":"valid_key"}"#;
    for (document, path_case) in [(one, PathCase::Refuse), (two, PathCase::Distinct)] {
        let mut plane =
            Plane::start_after(&[], async |path: &Path| with_rules(path, document).await).await;
        let revision = plane.store().revision();
        let routes = Node::ready(&plane).await.snapshot.settings.unwrap().routes;
        assert_eq!(routes.path_case(), path_case);
        assert_eq!(routes.rules().len(), document.matches("\"path\"").count());
        let word = format!("{path_case:?}").to_lowercase();
        assert_eq!(
            plane
                .client("first@localhost")
                .await
                .get("/v1/routes")
                .await
                .text("/data/path_case"),
            word
        );
        plane.restart().await;
        assert_eq!(plane.store().revision(), revision, "it is done once");
    }
}
