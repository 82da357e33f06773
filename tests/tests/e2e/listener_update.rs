//! Listeners that are replaced by LDS while Envoy serves: with another configuration of the filter,
//! and with other code.

use std::time::Duration;

use latchkey_tests::{EnvoyOptions, Gateway, faulty_filter, http_client};
use serde_json::json;

async fn gateway() -> (Gateway, String) {
    let gateway = Gateway::builder().envoy(|envoy| {
        envoy.lds = true;
        envoy.drain_time = Some(Duration::from_secs(1));
    });
    let gateway = gateway.start().await;
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX } });
    let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
    (gateway, key)
}

#[tokio::test]
async fn new_configuration_and_code_apply() {
    let (mut gateway, key) = gateway().await;
    let address = gateway.envoy.gateway();
    let with_header = json!({ "identity_headers": { "x-consumer-name": "name" } });
    gateway
        .envoy
        .update(|envoy| envoy.configuration = with_header)
        .await
        .unwrap();
    gateway.client = http_client();
    let answer = gateway.ask("/", Some(&key)).await;
    assert_eq!(
        (answer.status, answer.reached_upstream("x-consumer-name")),
        (200, Some("CI")),
        "{}",
        answer.body
    );

    gateway
        .envoy
        .update(|envoy| envoy.filter = faulty_filter().unwrap())
        .await
        .unwrap();
    gateway.client = http_client();
    gateway.ready().await.unwrap();
    assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
    assert_eq!(gateway.envoy.gateway(), address);
}

#[tokio::test]
async fn refused_listeners_leave_the_old_ones() {
    let (mut gateway, key) = gateway().await;
    let broken = |envoy: &mut EnvoyOptions| envoy.configuration = json!({ "key_prefix": 7 });
    let error = format!("{:#}", gateway.envoy.update(broken).await.unwrap_err());
    assert!(error.contains("refused"), "{error}");
    assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
    let repaired = |envoy: &mut EnvoyOptions| envoy.configuration = json!({});
    gateway.envoy.update(repaired).await.unwrap();
    assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
}
