//! The filters of the tutorial for an existing Envoy, run in an Envoy.

use latchkey_tests::{Gateway, filter};
use serde_json::json;

/// The placeholders in the tutorial's configuration for the filter's file and the node token.
const FILTER: &str = "/etc/envoy/latchkey_filter.wasm";
const TOKEN: &str = r#""token": "…""#;

/// Returns the block with the filters, for this machine.
fn filters(node_token: &str) -> String {
    let page = super::read("docs/tutorials/protect-an-envoy.md").unwrap();
    let block = page
        .blocks
        .iter()
        .find(|block| block.text.starts_with("- name: latchkey\n  typed_config:"))
        .unwrap();
    assert!(block.text.contains(FILTER) && block.text.contains(TOKEN));
    let token = format!(r#""token": "{node_token}""#);
    block
        .text
        .replace(FILTER, &filter().unwrap().display().to_string())
        .replace(TOKEN, &token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tutorial_filters_pass_in_shadow_mode() {
    let gateway = Gateway::builder()
        .envoy(|envoy| envoy.http_filters = Some(filters(&envoy.node_token)))
        .start()
        .await;
    assert_eq!(gateway.ask("/", None).await.status, 200);
    let counted = gateway
        .envoy
        .stat("wasmcustom.latchkey_requests.missing_key")
        .await;
    assert!(counted.unwrap() >= 1);

    let key = gateway
        .control_plane
        .create_key(json!({ "name": "first-client" }))
        .await
        .unwrap();
    let answer = gateway.ask("/", Some(&key.api_key)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.reached_upstream("x-latchkey-identity").is_some());
    // `forward`: a service after Envoy may still check keys.
    assert_eq!(
        answer.reached_upstream("x-api-key"),
        Some(key.api_key.as_str())
    );
}
