//! The effect of keys while the control plane is away, and when it comes back.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_tests::{Gateway, eventually};
use serde_json::json;

use crate::unknown_key;

/// Unknown keys are refused.
#[tokio::test]
async fn known_keys_pass_during_an_outage() {
    let mut gateway = Gateway::start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);

    gateway.control_plane.kill();
    let lost = eventually(Duration::from_secs(5), async || {
        ensure!(
            gateway
                .envoy
                .stat("wasmcustom.latchkey_stream_connected")
                .await?
                == 0,
            "still connected"
        );
        Ok(())
    });
    lost.await.unwrap();
    for _ in 0..20 {
        assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
        assert_eq!(
            gateway.ask("/", Some(&unknown_key())).await.code(),
            "invalid_key"
        );
        assert_eq!(gateway.ask("/", None).await.code(), "missing_key");
    }
}

#[tokio::test]
async fn returning_control_plane_sends_changes_only() {
    let mut gateway = Gateway::start().await;
    let kept = gateway
        .control_plane
        .create_key(json!({ "name": "kept" }))
        .await
        .unwrap();
    let revoked = gateway
        .control_plane
        .create_key(json!({ "name": "revoked" }))
        .await
        .unwrap();
    assert_eq!(gateway.ask("/", Some(&revoked.api_key)).await.status, 200);
    let loaded = gateway
        .envoy
        .stat("wasmcustom.latchkey_snapshots_loaded")
        .await
        .unwrap();

    // Only the stream is cut, not the API: the revocation happens where this Envoy cannot hear of
    // it.
    gateway.control_plane.kill();
    let stream = gateway.control_plane.stream();
    gateway.control_plane.options().stream.set_port(0);
    gateway.control_plane.start().await.unwrap();
    let enforcement = gateway.control_plane.revoke(&revoked.key_id).await.unwrap();
    assert_eq!(
        (enforcement.nodes, enforcement.acknowledged),
        (1, 0),
        "an Envoy that may still admit it is counted"
    );
    assert_eq!(gateway.ask("/", Some(&revoked.api_key)).await.status, 200);

    gateway.control_plane.kill();
    gateway.control_plane.options().stream = stream;
    gateway.control_plane.start().await.unwrap();
    let back = Instant::now();
    let refused = eventually(Duration::from_secs(5), async || {
        let answer = gateway.ask("/", Some(&revoked.api_key)).await;
        ensure!(answer.code() == "invalid_key", "answered {}", answer.status);
        Ok(())
    });
    refused.await.unwrap();
    let took = back.elapsed();
    println!(
        "refused {} ms after the control plane was back",
        took.as_millis()
    );
    assert!(took < Duration::from_secs(1), "refused after {took:?}");

    assert_eq!(gateway.ask("/", Some(&kept.api_key)).await.status, 200);
    let control_plane = &gateway.control_plane;
    assert_eq!(
        control_plane
            .metric(r#"latchkey_stream_snapshots_total{kind="full"}"#)
            .await
            .unwrap(),
        0.0
    );
    assert_eq!(
        control_plane
            .metric(r#"latchkey_stream_snapshots_total{kind="resumed"}"#)
            .await
            .unwrap(),
        1.0
    );
    assert_eq!(
        gateway
            .envoy
            .stat("wasmcustom.latchkey_snapshots_loaded")
            .await
            .unwrap(),
        loaded
    );
}

#[tokio::test]
async fn envoy_refuses_until_its_first_snapshot() {
    let mut gateway = Gateway::builder().without_control_plane().start().await;
    for key in [None, Some("nonsense"), Some(unknown_key().as_str())] {
        let answer = gateway.ask("/", key).await;
        assert_eq!((answer.status, answer.code()), (503, "not_ready"));
        assert_eq!(answer.headers["retry-after"], "1");
    }
    gateway.control_plane.start().await.unwrap();
    gateway.ready().await.unwrap();
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
}

#[tokio::test]
async fn wrong_node_token_gets_no_keys() {
    let gateway = Gateway::builder()
        .envoy(|envoy| envoy.node_token = "not-the-token-of-this-control-plane".to_owned())
        .without_waiting()
        .start()
        .await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    let reported = eventually(Duration::from_secs(10), async || {
        ensure!(
            gateway
                .envoy
                .log()
                .contains("the control plane refused the node token"),
            "the log does not say it"
        );
        Ok(())
    });
    reported.await.unwrap();
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.code(),
        "not_ready"
    );
    assert_eq!(gateway.control_plane.nodes().await.unwrap().len(), 0);
}
