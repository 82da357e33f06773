//! The authentication of requests: which credentials pass, and which do not.

mod credentials;

use std::time::Duration;

use anyhow::ensure;
use latchkey_tests::{Gateway, eventually};
use serde_json::{Value, json};

use self::credentials::send_raw;

#[tokio::test]
async fn valid_key_is_admitted() {
    let gateway = Gateway::start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();

    let admitted = gateway.ask("/zones?page=2", Some(&key.api_key)).await;
    assert_eq!(admitted.status, 200, "{}", admitted.body);
    assert_eq!(admitted.body["path"], "/zones?page=2");
    assert_eq!(admitted.reached_upstream("x-api-key"), None);
    let identity = admitted
        .reached_upstream("x-latchkey-identity")
        .unwrap_or_default();
    assert!(
        identity.starts_with(&format!("key=\"{}\", name=\"CI\", account=\"", key.key_id)),
        "{identity}"
    );
    assert!(
        identity.ends_with("tier=\"basic\", env=\"live\""),
        "{identity}"
    );

    let before = gateway.upstream.requests();
    let refused = gateway.ask("/zones", None).await;
    assert_eq!((refused.status, refused.code()), (401, "missing_key"));
    assert!(refused.headers.contains_key("www-authenticate"));
    assert_eq!(gateway.upstream.requests(), before);
    assert!(!gateway.logs().contains(&key.api_key));
}

#[tokio::test]
async fn client_cannot_forge_its_identity() {
    let gateway = Gateway::start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "a \"name\", äöü" }))
        .await
        .unwrap();
    for forged in [
        "x-latchkey-identity",
        "X-Latchkey-Identity",
        "X-LATCHKEY-IDENTITY",
    ] {
        let headers = format!(
            "{forged}: key=\"key_forged\"\r\n{forged}: user=\"root\"\r\nx-api-key: {}\r\n",
            key.api_key
        );
        let (status, body) = send_raw(&gateway, headers.as_bytes()).await;
        assert_eq!(status, 200);
        let values = body["headers"]["x-latchkey-identity"].as_array().unwrap();
        let [identity] = values.as_slice() else {
            panic!("{values:?}")
        };
        let identity = identity.as_str().unwrap();
        assert!(
            identity.starts_with(&format!(
                "key=\"{}\", name=%\"a %22name%22, %c3%a4",
                key.key_id
            )),
            "{identity}"
        );
    }
    // Upstreams that turn headers into variables read this one as the same.
    let headers = format!(
        "x_latchkey_identity: forged\r\nx-api-key: {}\r\n",
        key.api_key
    );
    let (status, body) = send_raw(&gateway, headers.as_bytes()).await;
    assert_eq!(
        (status, &body["headers"]["x_latchkey_identity"]),
        (200, &Value::Null)
    );
}

#[tokio::test]
async fn expired_key_is_refused_at_the_second() {
    let gateway = Gateway::start().await;
    let expiry = std::time::SystemTime::now() + Duration::from_secs(2);
    let expiry = expiry
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let key = json!({ "name": "short", "expires_at": expiry });
    let key = gateway.control_plane.create_key(key).await.unwrap();
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let mut admitted = 0;
    let refused = eventually(Duration::from_secs(10), async || {
        let before = now();
        let answer = gateway.ask("/", Some(&key.api_key)).await;
        if answer.status == 200 {
            assert!(
                before < expiry,
                "admitted at {before}, it expires at {expiry}"
            );
            admitted += 1;
        } else {
            assert_eq!(answer.code(), "expired_key");
            assert!(now() >= expiry, "refused before {expiry}");
        }
        ensure!(answer.status != 200, "still admitted");
        Ok(())
    });
    refused.await.unwrap();
    assert!(admitted > 0);
}

/// Clients of other services send another credential with the key: it cannot be a key here, and
/// belongs to the upstream.
#[tokio::test]
async fn foreign_credential_beside_a_key_reaches_the_upstream() {
    let gateway = Gateway::start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap()
        .api_key;
    let (bearer, token) = (
        format!("Bearer {key}"),
        "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    );
    let joined = format!("sk-ant-0123456789, {key}");
    for (headers, arrived) in [
        (
            [("x-api-key", key.as_str()), ("authorization", token)],
            [None, Some(token)],
        ),
        (
            [
                ("x-api-key", "sk-ant-0123456789"),
                ("authorization", &bearer),
            ],
            [Some("sk-ant-0123456789"), None],
        ),
        (
            [("x-api-key", "undefined"), ("authorization", &bearer)],
            [Some("undefined"), None],
        ),
        (
            [("x-api-key", &joined), ("authorization", token)],
            [Some("sk-ant-0123456789"), Some(token)],
        ),
    ] {
        let answer = gateway.ask_with("/", &headers).await;
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.body);
        assert_eq!(
            ["x-api-key", "authorization"].map(|name| answer.reached_upstream(name)),
            arrived
        );
        assert!(!answer.body.to_string().contains(&key));
    }
    let word = gateway.ask_with("/", &[("x-api-key", &bearer)]).await;
    assert_eq!(word.code(), "malformed_key");
    assert!(
        word.body["error"]
            .as_str()
            .unwrap()
            .contains("without the word Bearer before it"),
        "{}",
        word.body
    );
}
