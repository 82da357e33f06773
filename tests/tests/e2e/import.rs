//! Keys that were created elsewhere: Envoy admits them, although Latchkey only knows their digests.

use latchkey_policy::key::{Environment, KeyDigest, KeyFormat};
use latchkey_tests::{Gateway, Refused};
use reqwest::Method;
use serde_json::{Value, json};

/// Keys in three formats of other systems.
const FOREIGN: [(&str, &str); 3] = [
    ("an api's", "sk-proj-4c0f9dW8mWQyb7Xo2sKqYh3T"),
    ("a uuid", "0b5ec4a2-96a6-4a61-8c3c-3fb8dbe1a4e0"),
    // It has the format of Latchkey's keys except for prefix and checksum.
    (
        "another gateway's",
        "vg_live_Ab3dEf6hIj9lMn2pQr5tUv8xYz1B4D7F",
    ),
];

/// Returns the body of an import: the names of the keys and their digests.
fn rows(keys: &[(&str, &str)]) -> Value {
    let digest = |key: &str| format!("{:?}", KeyDigest::of(key.as_bytes()));
    keys.iter()
        .map(|(name, key)| json!({ "name": name, "sha256": digest(key) }))
        .collect()
}

#[tokio::test]
async fn imported_keys_of_any_form_pass() {
    let gateway = Gateway::start().await;
    for (name, key) in FOREIGN {
        assert_eq!(
            gateway.ask("/", Some(key)).await.code(),
            "malformed_key",
            "{name}"
        );
    }
    let ids = gateway.control_plane.import(rows(&FOREIGN)).await.unwrap();
    for ((name, key), id) in FOREIGN.iter().zip(&ids) {
        let bearer = format!("Bearer {key}");
        for header in [("x-api-key", *key), ("authorization", bearer.as_str())] {
            let answer = gateway.ask_with("/", &[header]).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.body);
            assert_eq!(answer.reached_upstream(header.0), None);
            let identity = answer.reached_upstream("x-latchkey-identity").unwrap();
            assert!(
                identity.starts_with(&format!("key=\"{id}\", name=\"{name}\"")),
                "{identity}"
            );
        }
        // Tries the key with a character less, with a different character, next to a second key,
        // and next to a value that cannot be a key, which passes.
        for (wrong, code) in [
            (key[1..].to_owned(), "malformed_key"),
            (key.replacen(&key[8..9], "~", 1), "malformed_key"),
            (format!("{key},{}", crate::unknown_key()), "ambiguous_key"),
            (format!("{key},{}", &key[1..]), ""),
        ] {
            assert_eq!(
                gateway.ask("/", Some(&wrong)).await.code(),
                code,
                "{name}: {wrong}"
            );
        }
    }
    assert_eq!(
        gateway.ask("/", Some(&crate::unknown_key())).await.code(),
        "invalid_key"
    );

    // Each is revoked like any other key. The last one also ends the look-ups of foreign keys.
    for ((name, key), id) in FOREIGN.iter().zip(&ids) {
        let enforcement = gateway.control_plane.revoke(id).await.unwrap();
        assert_eq!((enforcement.nodes, enforcement.acknowledged), (1, 1));
        assert_eq!(
            gateway.ask("/", Some(key)).await.code(),
            "malformed_key",
            "{name}"
        );
    }
    let everything = [
        gateway.logs(),
        gateway.envoy.admin_get("/stats").await.unwrap(),
        gateway.envoy.admin_get("/config_dump").await.unwrap(),
        gateway.control_plane.metrics().await.unwrap(),
    ];
    for (_, key) in FOREIGN {
        assert!(
            everything.iter().all(|text| !text.contains(key)),
            "{key} is somewhere it must not be"
        );
    }
}

#[tokio::test]
async fn one_bad_row_admits_nobody() {
    let gateway = Gateway::start().await;
    let taken = gateway
        .control_plane
        .create_key(json!({ "name": "a uuid" }))
        .await
        .unwrap();
    let refused = gateway
        .control_plane
        .import(rows(&FOREIGN))
        .await
        .unwrap_err();
    let Refused { status, body, .. } = refused.downcast().unwrap();
    assert!(
        status == 409 && body.contains(r#""field":"keys[1].name""#),
        "{status}: {body}"
    );
    for (name, key) in FOREIGN {
        assert_eq!(
            gateway.ask("/", Some(key)).await.code(),
            "malformed_key",
            "{name}"
        );
    }
    gateway.control_plane.revoke(&taken.key_id).await.unwrap();
    gateway.control_plane.import(rows(&FOREIGN)).await.unwrap();
    assert_eq!(gateway.ask("/", Some(FOREIGN[1].1)).await.status, 200);
}

#[tokio::test]
async fn public_route_strips_only_imported_keys() {
    let gateway = Gateway::start().await;
    let rules = json!([{ "path": { "prefix": "/public" }, "public": true }]);
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    let [(name, key), _, _] = FOREIGN;
    let bearer = format!("Bearer {key}");
    let foreign = "Bearer eyJhbGciOiJub25lIn0.e30.";
    let arrives = async |name: &'static str, value: &str| {
        let answer = gateway.ask_with("/public/page", &[(name, value)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.reached_upstream("x-latchkey-identity"), None);
        answer.reached_upstream(name).map(str::to_owned)
    };
    assert_eq!(
        arrives("x-api-key", key).await.as_deref(),
        Some(key),
        "it is nobody's"
    );
    gateway
        .control_plane
        .import(rows(&[(name, key)]))
        .await
        .unwrap();
    assert_eq!(arrives("x-api-key", key).await, None);
    assert_eq!(arrives("authorization", &bearer).await, None);
    assert_eq!(
        arrives("authorization", foreign).await.as_deref(),
        Some(foreign)
    );
}

/// The key then has a secret of Latchkey's, and the imported secret is its old one.
#[tokio::test]
async fn imported_key_moves_to_a_latchkey_secret() {
    let gateway = Gateway::start().await;
    let (name, key) = FOREIGN[2];
    let ids = gateway
        .control_plane
        .import(rows(&[(name, key)]))
        .await
        .unwrap();
    let new = gateway
        .control_plane
        .regenerate(&ids[0], 3_600)
        .await
        .unwrap()
        .api_key;
    assert_eq!(
        KeyFormat::default().check(new.as_bytes()),
        Ok(Environment::Live)
    );
    for secret in [key, &new] {
        assert_eq!(gateway.ask("/", Some(secret)).await.status, 200);
    }
    let path = format!("/v1/keys/{}", ids[0]);
    gateway
        .control_plane
        .change(Method::PATCH, &path, json!({ "active": false }))
        .await
        .unwrap();
    for secret in [key, &new] {
        assert_eq!(gateway.ask("/", Some(secret)).await.code(), "disabled_key");
    }
    gateway
        .control_plane
        .change(Method::PATCH, &path, json!({ "active": true }))
        .await
        .unwrap();
    let newest = gateway
        .control_plane
        .regenerate(&ids[0], 0)
        .await
        .unwrap()
        .api_key;
    for (secret, code) in [(key, "malformed_key"), (&new, "invalid_key"), (&newest, "")] {
        assert_eq!(gateway.ask("/", Some(secret)).await.code(), code);
    }
}
