//! The settings of the plugin's configuration, seen from outside.

use std::time::Duration;

use anyhow::ensure;
use latchkey_tests::{CreatedKey, Gateway, eventually};
use serde_json::{Value, json};

async fn gateway(configuration: Value) -> (Gateway, CreatedKey) {
    let gateway = Gateway::builder()
        .envoy(move |envoy| envoy.configuration = configuration)
        .start()
        .await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI", "limits": { "minute": u32::MAX } }))
        .await
        .unwrap();
    (gateway, key)
}

/// The keys do not reach the upstream.
#[tokio::test]
async fn keys_are_stripped_in_configured_places() {
    let places = json!({ "headers": ["apikey", "x-key"], "bearer": false, "query": "key", "cookie": "session_key" });
    let (gateway, key) = gateway(json!({ "credentials": places })).await;
    let key = &key.api_key;
    let cookie = format!("a=1; session_key={key}; b=2");
    let table = [
        (
            "a header",
            "/a?b=c".to_owned(),
            vec![("apikey", key.as_str())],
            "/a?b=c",
            None,
        ),
        (
            "another header",
            "/".to_owned(),
            vec![("x-key", key)],
            "/",
            None,
        ),
        (
            "the query",
            format!("/a?b=%20&key={key}&c"),
            vec![],
            "/a?b=%20&c",
            None,
        ),
        (
            "the query alone",
            format!("/a?key={key}"),
            vec![],
            "/a",
            None,
        ),
        (
            "the query, escaped",
            format!("/?%6bey={}", key.replace('_', "%5F")),
            vec![],
            "/",
            None,
        ),
        (
            "a cookie",
            "/".to_owned(),
            vec![("cookie", &cookie)],
            "/",
            Some("a=1; b=2"),
        ),
        (
            "two places",
            format!("/?key={key}"),
            vec![("apikey", key)],
            "/",
            None,
        ),
    ];
    for (what, path, headers, upstream_path, upstream_cookie) in table {
        let answer = gateway.ask_with(&path, &headers).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        assert_eq!(answer.body["path"], upstream_path, "{what}");
        assert_eq!(answer.reached_upstream("cookie"), upstream_cookie, "{what}");
        assert!(
            !answer.body.to_string().contains(key.as_str()),
            "{what}: {}",
            answer.body
        );
        assert!(
            answer.reached_upstream("x-latchkey-identity").is_some(),
            "{what}"
        );
    }
    assert_eq!(
        gateway.ask_with("/", &[("x-api-key", key)]).await.code(),
        "missing_key"
    );
    assert_eq!(
        gateway
            .ask_with("/", &[("authorization", &format!("Bearer {key}"))])
            .await
            .code(),
        "missing_key"
    );
    let other = crate::unknown_key();
    assert_eq!(
        gateway
            .ask_with(&format!("/?key={other}"), &[("apikey", key)])
            .await
            .code(),
        "ambiguous_key"
    );
    assert!(!gateway.logs().contains(key.as_str()));
}

#[tokio::test]
async fn upstream_gets_configured_key_and_headers() {
    let headers = json!({ "X-Consumer-Id": "key", "x-consumer-name": "name", "x-tier": "tier" });
    let (gateway, key) =
        gateway(json!({ "credentials": { "forward": true }, "identity_headers": headers })).await;
    let forged = [
        ("x-api-key", key.api_key.as_str()),
        ("x-tier", "enterprise"),
        ("x-tier", "pro"),
    ];
    let answer = gateway.ask_with("/", &forged).await;
    assert_eq!(
        answer.reached_upstream("x-api-key"),
        Some(key.api_key.as_str())
    );
    assert_eq!(
        answer.reached_upstream("x-consumer-id"),
        Some(key.key_id.as_str())
    );
    assert_eq!(answer.reached_upstream("x-consumer-name"), Some("CI"));
    assert_eq!(answer.body["headers"]["x-tier"], json!(["basic"]));
}

/// The refusal is also in the access log.
#[tokio::test]
async fn shadowed_refusal_passes_and_counts() {
    let (gateway, key) = gateway(json!({ "shadow": ["malformed_key", "invalid_key"] })).await;
    let forged = [
        ("x-latchkey-identity", "key=\"key_forged\""),
        ("x-api-key", "nonsense"),
    ];
    let answer = gateway.ask_with("/shadowed", &forged).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.reached_upstream("x-latchkey-identity"), None);
    assert_eq!(
        answer.reached_upstream("x-api-key"),
        Some("nonsense"),
        "what is none of our keys may be the upstream's"
    );
    let answer = gateway
        .ask_with("/", &[("x-api-key", &crate::unknown_key())])
        .await;
    assert_eq!(
        (answer.status, answer.reached_upstream("x-api-key")),
        (200, None)
    );
    assert_eq!(gateway.ask_with("/", &[]).await.code(), "missing_key");
    assert_eq!(
        gateway
            .ask_with("/", &[("x-api-key", &key.api_key)])
            .await
            .status,
        200
    );
    let count = async |code: &str| {
        gateway
            .envoy
            .stat(&format!("wasmcustom.latchkey_requests.{code}"))
            .await
            .unwrap()
    };
    assert_eq!(
        (
            count("invalid_key").await,
            count("malformed_key").await,
            count("allowed").await
        ),
        (1, 1, 1)
    );
    let logged = eventually(Duration::from_secs(5), async || {
        let lines = gateway.envoy.access_log();
        let line = lines.iter().find(|line| line["path"] == "/shadowed");
        ensure!(
            line.is_some_and(|line| line["shadow"] == "malformed_key" && line["status"] == 200),
            "{lines:?}"
        );
        Ok(())
    });
    logged.await.unwrap();
}

#[tokio::test]
async fn stale_snapshot_refuses_until_contact() {
    let (mut gateway, key) = gateway(json!({ "max_staleness_seconds": 2 })).await;
    // Heartbeats keep it fresh for longer than that.
    let fresh = tokio::time::Instant::now();
    while fresh.elapsed() < Duration::from_secs(4) {
        assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.control_plane.kill();
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.status,
        200,
        "not at once"
    );
    let stale = eventually(Duration::from_secs(6), async || {
        let answer = gateway.ask("/", Some(&key.api_key)).await;
        ensure!(answer.code() == "not_ready", "answered {}", answer.status);
        Ok(())
    });
    stale.await.unwrap();
    gateway.control_plane.start().await.unwrap();
    let back = eventually(Duration::from_secs(5), async || {
        let answer = gateway.ask("/", Some(&key.api_key)).await;
        ensure!(answer.status == 200, "answered {}", answer.status);
        Ok(())
    });
    back.await.unwrap();
}
