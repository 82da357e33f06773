//! A hot restart of Envoy: another process takes the listeners over, and for a while both decide
//! requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_tests::{
    Answer, Connection, Enforcement, Envoy, EnvoyOptions, Gateway, HotRestart, Load, Sample,
    eventually, request,
};
use serde_json::json;

const WITHIN: Duration = Duration::from_secs(5);

/// A grace shorter than a change waits, so that no answer is given while an Envoy that has ended
/// still counts.
const GRACE: Duration = Duration::from_millis(500);

/// Sends a request with a key, on a new connection, which reaches the process that listens.
async fn ask(gate: SocketAddr, key: &str) -> Answer {
    Connection::to(gate)
        .send(&request("GET", "/", &[("x-api-key", key)]))
        .await
        .unwrap()
}

/// Starts the process that takes over this gateway's listeners.
async fn successor(gateway: &Gateway) -> Envoy {
    let dir = gateway.dir().join("successor");
    std::fs::create_dir(&dir).unwrap();
    let options = EnvoyOptions {
        gateway_port: gateway.envoy.gateway().port(),
        hot_restart: HotRestart::Successor {
            base_id: gateway.envoy.base_id().unwrap(),
        },
        dir,
        ..gateway.envoy_options()
    };
    Envoy::start(&options).await.unwrap()
}

/// Checks that a new key works, that a revoked one does not, and that a third key is still valid.
async fn a_key_comes_and_goes(gateway: &Gateway, good: &str) -> Enforcement {
    let gate = gateway.envoy.gateway();
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "short-lived" }))
        .await
        .unwrap();
    assert_eq!(
        ask(gate, &key.api_key).await.status,
        200,
        "a key works from the answer on"
    );
    let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
    assert_eq!(
        enforcement.acknowledged, enforcement.nodes,
        "{enforcement:?}"
    );
    let refused = ask(gate, &key.api_key).await;
    assert_eq!(
        (refused.status, refused.code()),
        (401, "invalid_key"),
        "{enforcement:?}"
    );
    assert_eq!(ask(gate, good).await.status, 200);
    enforcement
}

/// Waits for the merged statistics. While both processes live, the successor adds its predecessor's
/// statistics to its own. So the predecessor's generation is added to the one that its workers
/// share.
async fn streams_in_statistics(successor: &Envoy, expected: u64) {
    let merged = eventually(WITHIN, async || {
        let streams = successor
            .stat("wasmcustom.latchkey_stream_connected")
            .await?;
        ensure!(
            streams == expected,
            "the statistics count {streams} streams"
        );
        Ok(())
    });
    merged.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_is_enforced_throughout_a_hot_restart() {
    let mut gateway = Gateway::builder()
        .envoy(|envoy| envoy.hot_restart = HotRestart::Predecessor)
        .control_plane(|control_plane| control_plane.node_grace = Some(GRACE))
        .start()
        .await;
    let gate = gateway.envoy.gateway();
    let unlimited = json!({ "name": "CI", "limits": { "minute": u32::MAX } });
    let good = gateway
        .control_plane
        .create_key(unlimited)
        .await
        .unwrap()
        .api_key;
    for _ in 0..5 {
        assert_eq!(a_key_comes_and_goes(&gateway, &good).await.nodes, 1);
    }
    let held = gateway
        .control_plane
        .create_key(json!({ "name": "on a connection that stays" }))
        .await
        .unwrap();
    let mut stays = Connection::to(gate);
    let on_it = request("GET", "/", &[("x-api-key", &held.api_key)]);
    assert_eq!(stays.send(&on_it).await.unwrap().status, 200);

    // Each request is on a new connection; one that nobody accepts would fail the test.
    let load = Load::start(
        gate,
        [request(
            "GET",
            "/",
            &[("x-api-key", &good), ("connection", "close")],
        )],
    );
    let restart = Instant::now();
    let successor = successor(&gateway).await;
    let decides = eventually(WITHIN, async || {
        let answer = ask(gate, &good).await;
        assert!(
            answer.status == 200 || answer.code() == "not_ready",
            "{answer:?}"
        );
        // The predecessor may have accepted that request, so its answer proves nothing.
        let nodes = gateway.control_plane.nodes().await?;
        ensure!(
            nodes.len() == 2 && nodes.iter().all(|node| node["lag"] == 0),
            "{nodes:?}"
        );
        Ok(())
    });
    decides.await.unwrap();
    let ready = Instant::now();
    a_key_comes_and_goes(&gateway, &good).await;
    let samples = load.stop().await.concat();
    // The successor listens before it has a snapshot. Until then it refuses requests, and its
    // predecessor no longer accepts any.
    let refused: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.status != 200)
        .collect();
    let meanwhile =
        |sample: &&Sample| sample.status == 503 && restart < sample.start && sample.start < ready;
    assert!(refused.iter().all(meanwhile), "{refused:?}");
    if let [first, .., last] = &*refused {
        println!(
            "the successor refused {} requests within {:?}",
            refused.len(),
            last.start - first.start
        );
    }

    streams_in_statistics(&successor, 2).await;
    let enforcement = gateway.control_plane.revoke(&held.key_id).await.unwrap();
    assert_eq!(
        (enforcement.nodes, enforcement.acknowledged),
        (2, 2),
        "both are asked"
    );
    assert_eq!(
        stays.send(&on_it).await.unwrap().code(),
        "invalid_key",
        "the predecessor goes on to decide"
    );

    let mut by_both = 0;
    while gateway.envoy.process().exited().is_none() {
        by_both += usize::from(a_key_comes_and_goes(&gateway, &good).await.nodes == 2);
    }
    assert!(by_both > 10, "{by_both} keys were revoked while both lived");
    streams_in_statistics(&successor, 1).await;
    for _ in 0..5 {
        a_key_comes_and_goes(&gateway, &good).await;
    }
    assert_eq!(a_key_comes_and_goes(&gateway, &good).await.nodes, 1);
    println!("{by_both} keys were revoked while both processes lived");
}
