//! Tests that a copy of the database cannot confirm a guess of an imported key without the at-rest
//! key.

mod earlier;

use crate::harness::{AT_REST_KEY, Answer, Client, Plane, imported};
use crate::node::Node;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use latchkey_policy::key::KeyDigest;
use latchkey_store::backup::{backup, restore_with};
use latchkey_store::{AtRestKey, AtRestKeys};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;

const OTHER_KEY: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

/// A key that can be guessed.
const PIN: &str = "pin-482913";

/// Returns all bytes of the database and its log.
fn bytes(database: &Path) -> Vec<u8> {
    let log = fs::read(format!("{}-wal", database.display())).unwrap_or_default();
    [fs::read(database).unwrap(), log].concat()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Returns the encodings in which a digest could be stored.
fn forms(digest: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = hex::encode(digest);
    vec![
        ("raw", digest.to_vec()),
        ("its beginning, raw", digest[..8].to_vec()),
        ("hexadecimal", hex.clone().into_bytes()),
        ("upper-case hexadecimal", hex.to_uppercase().into_bytes()),
        (
            "the mask of before",
            format!("sha256:{}", &hex[..8]).into_bytes(),
        ),
        ("Base64", STANDARD.encode(digest).as_bytes()[..40].to_vec()),
        (
            "Base64 without padding",
            STANDARD_NO_PAD.encode(digest).into_bytes(),
        ),
        (
            "Base64 for URLs",
            URL_SAFE_NO_PAD.encode(digest).into_bytes(),
        ),
    ]
}

/// Asserts that the database cannot confirm a guess of these keys.
fn confirms_nothing(database: &Path, keys: &[&str]) {
    let bytes = bytes(database);
    for key in keys {
        assert!(!contains(&bytes, key.as_bytes()), "{key} itself is there");
        let digest = KeyDigest::of(key.as_bytes()).0;
        for (form, part) in forms(&digest)
            .into_iter()
            .chain(forms(&Sha256::digest(digest)))
        {
            assert!(
                !contains(&bytes, &part),
                "the digest of {key} is there: {form}"
            );
        }
    }
}

/// Returns the hash by which a call with this header and body was identified without an at-rest
/// key.
fn unkeyed_body_hash(header: &str, body: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(header.as_bytes()).unwrap();
    mac.chain_update(body).finalize().into_bytes().to_vec()
}

async fn import(client: &Client<'_>, key: &str) -> Answer {
    client
        .send(
            Method::POST,
            "/v1/keys/import",
            json!({"keys": [imported("again", key)]}),
        )
        .await
}

/// Stops the control plane, and starts it with another at-rest key or none.
async fn restart_with(plane: &mut Plane, key: Option<&str>) -> Result<(), String> {
    plane.take().shutdown().await;
    plane.at_rest_key = key.map(str::to_owned);
    plane.try_run().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn database_confirms_no_guessed_key() {
    let mut plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("other").await;
    // A current secret, an old one, a revoked one, one of a repeated import, and a tombstone.
    let keys = [
        "pin-000001",
        "pin-000002",
        "pin-000003",
        "pin-000004",
        "pin-000005",
        PIN,
    ];
    client.import("current", keys[0]).await;
    let id = client.import("old", keys[1]).await;
    client.regenerate(&id, 3_600).await;
    for (name, key) in [
        ("revoked", keys[2]),
        ("unused", keys[3]),
        ("tombstone", keys[4]),
    ] {
        let id = client.import(name, key).await;
        client.delete(&format!("/v1/keys/{id}?wait_ms=0")).await;
    }
    let again = json!({"keys": [imported("second", keys[3])], "reimport_unused": true});
    let again = client.send(Method::POST, "/v1/keys/import", again).await;
    assert_eq!(again.status, StatusCode::CREATED, "{again:?}");
    let tombstone = "UPDATE keys SET revoked_at = 5 WHERE name = 'tombstone'";
    sqlx::query(tombstone)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    plane.use_a_key_on(1_800_000_000).await;
    plane
        .store()
        .clean_up_revoked(1_800_000_000, 1_000)
        .await
        .unwrap();
    let body = json!({"keys": [imported("CI", PIN)]}).to_string();
    for status in [StatusCode::CREATED, StatusCode::OK] {
        let call = client
            .request(Method::POST, "/v1/keys/import")
            .header("Idempotency-Key", "import-1");
        let answer = Answer::to(
            call.header("Content-Type", "application/json")
                .body(body.clone()),
        )
        .await;
        assert_eq!(
            (answer.status, answer.text("/data/keys/0/key_prefix")),
            (status, "imported".to_owned())
        );
    }

    let hash = unkeyed_body_hash("import-1", &body);
    let tombstones: Vec<(Vec<u8>, bool)> = sqlx::query_as("SELECT digest, keyed FROM tombstones")
        .fetch_all(&plane.pool().await)
        .await
        .unwrap();
    assert!(tombstones.len() == 1 && tombstones[0].1, "{tombstones:?}");
    let running = bytes(&plane.database());
    assert!(
        !contains(&running, &hash),
        "the body's hash confirms a guess"
    );
    confirms_nothing(&plane.database(), &keys);
    plane.take().shutdown().await;
    confirms_nothing(&plane.database(), &keys);
    assert!(!contains(&bytes(&plane.database()), &hash));
    // The search finds data that is in the database.
    assert!(contains(&bytes(&plane.database()), b"tombstone"));

    plane.run().await;
    let client = plane.log_in().await;
    for key in keys {
        import(&client, key)
            .await
            .refused_by(409, "key_taken", "keys[0].sha256");
    }
    let node = Node::ready(&plane).await;
    for (key, name) in [
        (keys[0], Some("current")),
        (keys[1], Some("old")),
        (keys[2], None),
        (keys[3], Some("second")),
    ] {
        assert_eq!(
            node.snapshot.by(key).map(|key| key.name.as_str()),
            name,
            "{key}"
        );
    }
}

#[tokio::test]
async fn imported_key_authenticates_by_encrypted_digest() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let row = json!({"permissions": ["*"], "scope": ["latchkey"]});
    let mut row = row.as_object().unwrap().clone();
    row.extend(imported("CI", PIN).as_object().unwrap().clone());
    let made = client
        .send(Method::POST, "/v1/keys/import", json!({"keys": [row]}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.text("/data/keys/0/key_id");
    let machine = plane.bearer(PIN);
    assert_eq!(machine.get("/v1/keys").await.status, StatusCode::OK);
    assert_eq!(machine.key("made by it").await.len(), 16);
    let shown = client.get(&format!("/v1/keys/{id}")).await;
    assert!(shown.at("/data/last_used_at").is_string(), "{shown:?}");
    client.regenerate(&id, 3_600).await;
    plane.clock.advance(60);
    assert_eq!(
        machine.get("/v1/keys").await.status,
        StatusCode::OK,
        "it is the old secret now"
    );
    let shown = client.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(
        shown.text("/data/secrets/1/last_used_at"),
        "2027-01-15T08:01:00Z",
        "{shown:?}"
    );
}

#[tokio::test]
async fn import_needs_an_at_rest_key() {
    let mut plane = Plane::start().await;
    restart_with(&mut plane, None).await.unwrap();
    let client = plane.log_in().await;
    let revision = plane.store().revision();
    let answer = import(&client, PIN).await;
    answer.refused(409, "at_rest_key_missing");
    assert!(
        answer
            .text("/error")
            .contains("latchkey at-rest-key generate"),
        "{answer:?}"
    );
    let dry = json!({"keys": [imported("a", PIN)], "dry_run": true});
    client
        .send(Method::POST, "/v1/keys/import", dry)
        .await
        .refused(409, "at_rest_key_missing");
    assert_eq!(plane.store().revision(), revision);
    client.key("our own need none").await;

    // No data depends on the key, so any other key is accepted.
    restart_with(&mut plane, Some(OTHER_KEY)).await.unwrap();
    assert_eq!(
        import(&plane.log_in().await, PIN).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn start_needs_the_at_rest_key() {
    let mut plane = Plane::start().await;
    plane.log_in().await.import("CI", PIN).await;
    let wrong = restart_with(&mut plane, Some(OTHER_KEY)).await.unwrap_err();
    assert!(
        wrong.contains("encrypted with another at-rest key than the configured one"),
        "{wrong}"
    );
    plane.at_rest_key = None;
    let missing = plane.try_run().await.err().unwrap().to_string();
    assert!(
        missing.contains("at-rest key, but none is set. Set --at-rest-key-file"),
        "{missing}"
    );
    plane.at_rest_key = Some(AT_REST_KEY.to_owned());
    plane.run().await;
    assert!(Node::ready(&plane).await.snapshot.by(PIN).is_some());
}

#[tokio::test]
async fn start_replaces_the_at_rest_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old");
    fs::write(&old, format!("{AT_REST_KEY}\n")).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).unwrap();
    let flag = format!("--at-rest-old-key-file={}", old.display());
    // At the first start, the current and the old key are the same.
    let mut plane = Plane::start_with(&[&flag]).await;
    plane.log_in().await.import("CI", PIN).await;
    restart_with(&mut plane, Some(OTHER_KEY)).await.unwrap();
    assert!(Node::ready(&plane).await.snapshot.by(PIN).is_some());
    // The database does not open with only the old key, and no longer needs it.
    fs::write(&old, format!("{:064x}\n", 1)).unwrap();
    restart_with(&mut plane, Some(OTHER_KEY)).await.unwrap();
    let client = plane.log_in().await;
    import(&client, PIN)
        .await
        .refused_by(409, "key_taken", "keys[0].sha256");
    let refused = restart_with(&mut plane, Some(AT_REST_KEY))
        .await
        .unwrap_err();
    assert!(refused.contains("another at-rest key"), "{refused}");
}

#[tokio::test]
async fn backup_is_encrypted_with_its_key() {
    let mut plane = Plane::start().await;
    plane.log_in().await.import("CI", PIN).await;
    let file = plane.database().with_file_name("backup");
    backup(&plane.database(), &file).await.unwrap();
    confirms_nothing(&file, &[PIN]);
    plane.take().shutdown().await;
    let database = plane.database();
    let keys = |key: Option<&str>| AtRestKeys {
        current: key.and_then(AtRestKey::from_hex),
        old: None,
    };
    let before = bytes(&database);
    for (key, reason) in [
        (None, "but none is set"),
        (Some(OTHER_KEY), "another at-rest key"),
    ] {
        let refused = restore_with(&file, &database, &keys(key), true, 5)
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains(reason), "{refused}");
        assert!(
            bytes(&database) == before,
            "a refused restore changes nothing"
        );
    }
    restore_with(&file, &database, &keys(Some(AT_REST_KEY)), true, 5)
        .await
        .unwrap();
    plane.run().await;
    assert!(Node::ready(&plane).await.snapshot.by(PIN).is_some());
}

#[tokio::test]
async fn masks_show_nothing_of_a_digest() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let body = json!({"url": "https://example.com/", "events": ["key.created"]});
    assert_eq!(
        client.send(Method::POST, "/v1/webhooks", body).await.status,
        StatusCode::CREATED
    );
    let id = client.import("CI", PIN).await;
    let shown = [
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .text("/data/key_prefix"),
        client.get("/v1/keys").await.text("/data/keys/0/key_prefix"),
        client
            .get("/v1/audit?action=key.import")
            .await
            .text("/data/entries/0/after/key_prefix"),
    ];
    assert_eq!(shown, ["imported"; 3]);
    let sent: String = sqlx::query_scalar("SELECT body FROM webhook_deliveries")
        .fetch_one(&plane.pool().await)
        .await
        .unwrap();
    assert!(sent.contains(r#""key_prefix":"imported""#), "{sent}");
    // An exported key can be imported unchanged.
    let mut row = imported("CD", "pin-000007");
    row["key_prefix"] = json!("imported");
    let made = client
        .send(Method::POST, "/v1/keys/import", json!({"keys": [row]}))
        .await;
    assert_eq!(made.text("/data/keys/0/key_prefix"), "imported");
}
