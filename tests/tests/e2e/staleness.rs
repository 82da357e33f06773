//! The time for which an Envoy serves without the control plane.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_tests::{CreatedKey, EnvoyOptions, Gateway, burst, eventually, http_client};
use serde_json::{Value, json};

use crate::shared_memory::with_lds;

/// A limit longer than anything that these tests wait for.
const SOON: Duration = Duration::from_secs(20);

/// Configures two listeners in the same VMs, one with a limit of three seconds and one with none.
fn limits(envoy: &mut EnvoyOptions) {
    envoy.configuration = json!({ "max_staleness_seconds": 3 });
    envoy.second = Some(json!({ "max_staleness_seconds": null }));
}

/// Creates a key with a high limit.
async fn create_key(gateway: &Gateway) -> CreatedKey {
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX } });
    gateway.control_plane.create_key(key).await.unwrap()
}

/// Waits until the one node has reported that staleness limit, null for none, and enforces it.
async fn reports_staleness(gateway: &Gateway, seconds: &Value) {
    let reported = eventually(SOON, async || {
        let nodes = gateway.control_plane.nodes().await?;
        ensure!(
            nodes.len() == 1 && nodes[0]["staleness_seconds"] == *seconds,
            "{nodes:?}"
        );
        Ok(())
    });
    reported.await.unwrap();
    // It acknowledges a message that was sent after the Welcome.
    let other = gateway
        .control_plane
        .create_key(json!({ "name": "other" }))
        .await
        .unwrap();
    let acknowledged = eventually(SOON, async || {
        let enforcement = gateway.control_plane.revoke(&other.key_id).await?;
        ensure!(enforcement.complete, "{enforcement:?}");
        Ok(())
    });
    acknowledged.await.unwrap();
}

#[tokio::test]
async fn shipped_staleness_is_one_day() {
    let gateway = Gateway::start().await;
    reports_staleness(&gateway, &json!(86_400)).await;
}

#[tokio::test]
async fn each_listener_enforces_its_own_limit() {
    let mut gateway = Gateway::builder().envoy(limits).start().await;
    let other = gateway.envoy.listener("second").await.unwrap();
    let key = create_key(&gateway).await.api_key;
    reports_staleness(&gateway, &Value::Null).await;
    assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
    gateway.control_plane.kill();
    let killed = Instant::now();
    while gateway.ask("/", Some(&key)).await.status == 200 {
        assert!(killed.elapsed() < Duration::from_secs(6), "it serves on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let served = killed.elapsed();
    println!("served for {} ms", served.as_millis());
    assert!(
        served > Duration::from_millis(1_500),
        "refused after {served:?}"
    );
    assert_eq!(gateway.ask("/", Some(&key)).await.code(), "not_ready");
    assert_eq!(burst(other, &key, 1, 1).await, [(200, 1)].into());
    gateway.control_plane.start().await.unwrap();
    gateway.ready().await.unwrap();
    assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
}

/// The grace is short, and the control plane cannot be reached: the node counts for as long as it
/// serves.
#[tokio::test]
async fn lost_node_counts_while_serving() {
    const STALENESS: u64 = 8;
    let mut gateway = Gateway::builder()
        .envoy(|envoy| envoy.configuration = json!({ "max_staleness_seconds": STALENESS }))
        .control_plane(|options| options.node_grace = Some(Duration::from_millis(500)))
        .start()
        .await;
    let key = create_key(&gateway).await;
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    gateway.control_plane.kill();
    // The control plane moves to an address that this Envoy does not know.
    gateway.control_plane.options().stream.set_port(0);
    gateway.control_plane.start().await.unwrap();
    let not_waited_for = eventually(Duration::from_secs(5), async || {
        let enforcement = gateway.control_plane.revoke(&key.key_id).await?;
        ensure!(
            enforcement.elapsed_ms < 1_000,
            "it is waited for: {enforcement:?}"
        );
        Ok(enforcement)
    });
    let enforcement = not_waited_for.await.unwrap();
    assert_eq!(
        (
            enforcement.nodes,
            enforcement.acknowledged,
            enforcement.lost
        ),
        (1, 0, 1),
        "{enforcement:?}"
    );
    assert!(!enforcement.complete, "{enforcement:?}");
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.status,
        200,
        "it serves what it has"
    );

    let began = Instant::now();
    let complete = eventually(SOON, async || {
        let enforcement = gateway.control_plane.revoke(&key.key_id).await?;
        ensure!(enforcement.complete, "{enforcement:?}");
        Ok(enforcement)
    });
    let enforcement = complete.await.unwrap();
    println!("complete after {} ms", began.elapsed().as_millis());
    for _ in 0..20 {
        assert_eq!(
            gateway.ask("/", Some(&key.api_key)).await.code(),
            "not_ready",
            "{enforcement:?}"
        );
    }
    assert_eq!(
        (
            enforcement.nodes,
            enforcement.acknowledged,
            enforcement.lost
        ),
        (0, 0, 0),
        "{enforcement:?}"
    );
    assert_eq!(
        gateway.control_plane.nodes().await.unwrap(),
        [Value::Null; 0]
    );
}

#[tokio::test]
async fn limit_raised_too_late_is_ignored() {
    const STALENESS: u64 = 6;
    let limit = |envoy: &mut EnvoyOptions| {
        with_lds(envoy);
        envoy.configuration = json!({ "max_staleness_seconds": STALENESS });
    };
    let mut gateway = Gateway::builder().envoy(limit).start().await;
    let key = create_key(&gateway).await.api_key;
    reports_staleness(&gateway, &json!(STALENESS)).await;
    gateway.control_plane.kill();
    let killed = Instant::now();
    let raised =
        |envoy: &mut EnvoyOptions| envoy.configuration = json!({ "max_staleness_seconds": 60 });
    gateway.envoy.update(raised).await.unwrap();
    let mut served = 0;
    // Each request is on a new connection, and so reaches the new listener.
    while burst(gateway.envoy.gateway(), &key, 1, 1)
        .await
        .contains_key(&200)
    {
        served += 1;
        assert!(
            killed.elapsed() < Duration::from_secs(STALENESS + 2),
            "the unreported limit is in force"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        served > 0,
        "the new listener serves until the reported limit"
    );
    gateway.client = http_client();
    assert_eq!(gateway.ask("/", Some(&key)).await.code(), "not_ready");

    gateway.control_plane.start().await.unwrap();
    gateway.ready().await.unwrap();
    reports_staleness(&gateway, &json!(60)).await;
}
