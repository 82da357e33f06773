//! The secrets of a key: during the overlap both are valid, as one key, and afterwards only the new
//! one.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_tests::{Gateway, Load, Sample, eventually, request};
use serde_json::{Value, json};

use crate::clock::{now, reaches, time_in};
use crate::usage::REPORTED_WITHIN;

const CONNECTIONS: usize = 32;

/// Both secrets pass during the overlap.
#[tokio::test]
async fn overlapping_secrets_share_every_limit() {
    let gateway = Gateway::start().await;
    time_in(Window::Minute, 20).await;
    let key = json!({ "name": "CI", "limits": { "minute": 10 } });
    let key = gateway.control_plane.create_key(key).await.unwrap();
    let old = key.api_key;
    let regenerated = gateway
        .control_plane
        .regenerate(&key.key_id, 3_600)
        .await
        .unwrap();
    assert_eq!(
        (
            regenerated.enforcement.nodes,
            regenerated.enforcement.acknowledged
        ),
        (1, 1)
    );
    let new = regenerated.api_key;
    for (used, secret) in [&old, &new].into_iter().cycle().take(10).enumerate() {
        let answer = gateway.ask("/", Some(secret)).await;
        assert_eq!(answer.status, 200, "request {used}: {}", answer.body);
        assert_eq!(
            answer.headers["x-ratelimit-remaining"],
            (9 - used).to_string()
        );
        let identity = answer.reached_upstream("x-latchkey-identity").unwrap();
        assert!(
            identity.starts_with(&format!("key=\"{}\"", key.key_id)),
            "{identity}"
        );
        assert_eq!(answer.reached_upstream("x-api-key"), None);
    }
    for secret in [&old, &new] {
        assert_eq!(gateway.ask("/", Some(secret)).await.code(), "rate_limited");
    }
    assert!(
        [&old, &new]
            .iter()
            .all(|secret| !gateway.logs().contains(secret.as_str()))
    );
}

#[tokio::test]
async fn last_use_is_shown_per_secret() {
    let gateway = Gateway::builder()
        .envoy(|envoy| envoy.trusted_proxies = 1)
        .start()
        .await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    let new = gateway
        .control_plane
        .regenerate(&key.key_id, 3_600)
        .await
        .unwrap()
        .api_key;
    let ask = async |secret: &str, from: &str| {
        // The address is noted from the first request in a second.
        reaches(now() + 1).await;
        let headers = [("x-api-key", secret), ("x-forwarded-for", from)];
        assert_eq!(gateway.ask_with("/", &headers).await.status, 200);
    };
    let reported = async |expected: [Value; 3]| {
        let reported = eventually(REPORTED_WITHIN, async || {
            let key = gateway.control_plane.key(&key.key_id).await?;
            let ips = [
                &key["last_used_ip"],
                &key["secrets"][0]["last_used_ip"],
                &key["secrets"][1]["last_used_ip"],
            ];
            ensure!(
                ips.map(Clone::clone) == expected,
                "{ips:?}, not {expected:?}"
            );
            Ok(())
        });
        reported.await.unwrap();
    };
    let (one, two, three) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
    ask(&key.api_key, one).await;
    reported([json!(one), Value::Null, json!(one)]).await;
    ask(&new, two).await;
    reported([json!(two), json!(two), json!(one)]).await;
    ask(&key.api_key, three).await;
    reported([json!(three), json!(two), json!(three)]).await;
}

#[tokio::test]
async fn old_secret_ends_with_its_overlap() {
    let gateway = Gateway::start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    let earliest = now() + 3;
    let new = gateway
        .control_plane
        .regenerate(&key.key_id, 3)
        .await
        .unwrap()
        .api_key;
    let latest = now() + 3;
    let mut admitted = 0;
    let refused = eventually(Duration::from_secs(10), async || {
        let before = now();
        let answer = gateway.ask("/", Some(&key.api_key)).await;
        if answer.status == 200 {
            assert!(
                before < latest,
                "admitted at {before}, the overlap ends at {latest} at the latest"
            );
            admitted += 1;
        } else {
            assert_eq!(answer.code(), "expired_key");
            assert!(now() >= earliest, "refused before {earliest}");
        }
        ensure!(answer.status != 200, "still admitted");
        Ok(())
    });
    refused.await.unwrap();
    assert!(admitted > 0);
    assert_eq!(gateway.ask("/", Some(&new)).await.status, 200);
    let secrets = gateway.control_plane.key(&key.key_id).await.unwrap()["secrets"].take();
    assert_eq!(secrets.as_array().map(Vec::len), Some(1), "{secrets}");
}

/// The answer to the regeneration is the limit: no request that starts after it passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_secret_ends_without_overlap() {
    let gateway = Gateway::start().await;
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX } });
    let key = gateway.control_plane.create_key(key).await.unwrap();
    let mut secret = key.api_key;
    for _ in 0..3 {
        let request = request("GET", "/", &[("x-api-key", &secret)]);
        let load = Load::start(gateway.envoy.gateway(), vec![request; CONNECTIONS]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let regenerated = gateway
            .control_plane
            .regenerate(&key.key_id, 0)
            .await
            .unwrap();
        let answered = Instant::now();
        assert_eq!(
            (
                regenerated.enforcement.nodes,
                regenerated.enforcement.acknowledged
            ),
            (1, 1)
        );
        assert_eq!(
            gateway.ask("/", Some(&regenerated.api_key)).await.status,
            200
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        let samples: Vec<Sample> = load.stop().await.concat();
        let (before, after): (Vec<&Sample>, Vec<&Sample>) =
            samples.iter().partition(|sample| sample.start < answered);
        assert!(
            before.iter().any(|sample| sample.status == 200) && after.len() > CONNECTIONS,
            "{samples:?}"
        );
        assert!(after.iter().all(|sample| sample.status == 401), "{after:?}");
        secret = regenerated.api_key;
    }
}

#[tokio::test]
async fn revocation_ends_both_secrets() {
    let gateway = Gateway::start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    let first = gateway
        .control_plane
        .regenerate(&key.key_id, 3_600)
        .await
        .unwrap()
        .api_key;
    let second = gateway
        .control_plane
        .regenerate(&key.key_id, 3_600)
        .await
        .unwrap()
        .api_key;
    let codes = async || {
        let mut codes = Vec::new();
        for secret in [&key.api_key, &first, &second] {
            codes.push(gateway.ask("/", Some(secret)).await.code().to_owned());
        }
        codes
    };
    assert_eq!(
        codes().await,
        ["", "invalid_key", ""],
        "the secret that nobody has used is replaced"
    );
    let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
    assert_eq!((enforcement.nodes, enforcement.acknowledged), (1, 1));
    assert_eq!(codes().await, ["invalid_key"; 3]);
}
