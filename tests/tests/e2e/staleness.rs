//! How long an Envoy serves without the control plane.

use std::time::{Duration, Instant};

use latchkey_tests::{EnvoyOptions, Gateway, burst};
use serde_json::json;

/// Two listeners in the same VMs, one with a limit of three seconds and one with none.
fn limits(envoy: &mut EnvoyOptions) {
    envoy.configuration = json!({ "max_staleness_seconds": 3 });
    envoy.second = Some(json!({ "max_staleness_seconds": null }));
}

#[tokio::test]
async fn each_listener_enforces_its_own_limit() {
    let mut gateway = Gateway::builder().envoy(limits).start().await;
    let other = gateway.envoy.listener("second").await.unwrap();
    let key = gateway.control_plane.create_key(json!({ "name": "CI" })).await.unwrap().api_key;
    // Until the control plane has been told that there is one without a limit.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
    gateway.control_plane.kill();
    let killed = Instant::now();
    while gateway.ask("/", Some(&key)).await.status == 200 {
        assert!(killed.elapsed() < Duration::from_secs(6), "it serves on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let served = killed.elapsed();
    println!("served for {} ms", served.as_millis());
    assert!(served > Duration::from_millis(1_500), "refused after {served:?}");
    assert_eq!(gateway.ask("/", Some(&key)).await.code(), "not_ready");
    assert_eq!(burst(other, &key, 1, 1).await, [(200, 1)].into());
    gateway.control_plane.start().await.unwrap();
    gateway.ready().await.unwrap();
    assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
}
