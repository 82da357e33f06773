//! Envoys with slow links.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_policy::key::KeyDigest;
use latchkey_tests::{Envoy, EnvoyOptions, Gateway, SlowLink, eventually, http_client};
use serde_json::json;

const KEYS: usize = 4_000;

#[tokio::test]
async fn snapshot_loads_over_twenty_kilobytes_a_second() {
    let link = SlowLink::start(20_000).await.unwrap();
    let exit = link.clone();
    let gateway = Gateway::builder()
        .control_plane(move |options| exit.lead_to(options.stream))
        .start()
        .await;
    let digest = |number: usize| {
        format!(
            "{:?}",
            KeyDigest::of(format!("a key made elsewhere {number}").as_bytes())
        )
    };
    for thousand in 0..KEYS / 1_000 {
        let numbers = thousand * 1_000..(thousand + 1) * 1_000;
        let keys = numbers
            .map(|number| json!({ "name": format!("key {number}"), "sha256": digest(number) }));
        gateway
            .control_plane
            .import(keys.collect::<Vec<_>>().into())
            .await
            .unwrap();
    }
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();

    let options = EnvoyOptions {
        node_id: "remote".to_owned(),
        stream: link.address(),
        ..gateway.envoy_options()
    };
    let envoy = Envoy::start(&options).await.unwrap();
    let (client, started) = (http_client(), Instant::now());
    let passes = eventually(Duration::from_secs(120), async || {
        let answer = client
            .get(envoy.url("/"))
            .header("x-api-key", &key.api_key)
            .send()
            .await?;
        ensure!(answer.status() == 200, "answered {}", answer.status());
        Ok(())
    });
    passes.await.unwrap();
    println!("ready after {:?}", started.elapsed());
    assert!(
        started.elapsed() > Duration::from_secs(12),
        "the link was not slow"
    );
    // One stream was enough.
    let nodes = gateway.control_plane.nodes().await.unwrap();
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    let log = gateway.control_plane.log();
    assert!(!log.contains("no batch was acknowledged"), "{log}");
}
