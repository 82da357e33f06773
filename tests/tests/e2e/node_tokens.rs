//! Node tokens with real Envoys, and connections that present none.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_tests::{Envoy, Gateway, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(30);

async fn create_token(gateway: &Gateway, name: &str, node: &str) -> String {
    let body = json!({ "name": name, "node": node });
    let data = gateway
        .control_plane
        .call(Method::POST, "/v1/node-tokens", body)
        .await
        .unwrap();
    data["node_token"].as_str().unwrap().to_owned()
}

/// Starts another Envoy, with its own token.
async fn envoy_with(gateway: &Gateway, node_id: &str, token: &str) -> anyhow::Result<Envoy> {
    let mut options = gateway.envoy_options();
    options.node_id = node_id.to_owned();
    options.node_token = token.to_owned();
    options.dir = gateway.dir().join(node_id);
    std::fs::create_dir_all(&options.dir)?;
    Envoy::start(&options).await
}

/// Returns for each node with that id whether it is connected.
async fn connected(gateway: &Gateway, node_id: &str) -> anyhow::Result<Vec<bool>> {
    let nodes = gateway.control_plane.nodes().await?;
    let of_it = nodes.iter().filter(|node| node["node_id"] == node_id);
    Ok(of_it
        .map(|node: &Value| node["connected"] == true)
        .collect())
}

#[tokio::test]
async fn revoked_node_token_stops_its_envoy() {
    let gateway = Gateway::start().await;
    let (first, second) = (
        create_token(&gateway, "first", "first-*").await,
        create_token(&gateway, "second", "second-*").await,
    );
    let _one = envoy_with(&gateway, "first-1", &first).await.unwrap();
    let _two = envoy_with(&gateway, "second-1", &second).await.unwrap();
    let joined = eventually(SOON, async || {
        ensure!(
            connected(&gateway, "first-1").await? == [true]
                && connected(&gateway, "second-1").await? == [true]
        );
        Ok(())
    });
    joined.await.unwrap();
    gateway
        .control_plane
        .call(Method::DELETE, "/v1/node-tokens/first", Value::Null)
        .await
        .unwrap();
    let lost = eventually(SOON, async || {
        ensure!(
            connected(&gateway, "first-1").await? == [false],
            "it is not counted as lost"
        );
        Ok(())
    });
    lost.await.unwrap();
    assert_eq!(connected(&gateway, "second-1").await.unwrap(), [true]);
    // It still serves, so that a revocation does not claim to be in force on it.
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "one" }))
        .await
        .unwrap();
    let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
    assert!(
        enforcement.acknowledged < enforcement.nodes,
        "{enforcement:?}"
    );
}

/// Follows docs/operations/upgrading.md: each Envoy first gets its own token, and then the control
/// plane starts without the shared one.
#[tokio::test]
async fn removed_shared_token_cuts_off_its_envoys() {
    let mut gateway = Gateway::start().await;
    assert!(
        gateway
            .control_plane
            .log()
            .contains("is one token for all Envoys and is deprecated")
    );
    let own = create_token(&gateway, "own", "*").await;
    let _moved = envoy_with(&gateway, "moved", &own).await.unwrap();
    let joined = eventually(SOON, async || {
        ensure!(
            connected(&gateway, "envoy").await? == [true]
                && connected(&gateway, "moved").await? == [true]
        );
        Ok(())
    });
    joined.await.unwrap();
    gateway.control_plane.options().node_token = None;
    gateway.control_plane.restart().await.unwrap();
    let cut_off = eventually(SOON, async || {
        ensure!(
            connected(&gateway, "moved").await? == [true],
            "it is not back"
        );
        let refusals = r#"latchkey_node_token_refusals_total{reason="token"}"#;
        ensure!(
            gateway.control_plane.metric(refusals).await? > 0.0,
            "nothing was refused"
        );
        let nodes = gateway.control_plane.nodes().await?;
        let node = nodes.iter().find(|node| node["node_id"] == "envoy");
        ensure!(
            node.is_some_and(|node| node["state"] == "lost" && node["refused"].is_string()),
            "{nodes:?}"
        );
        Ok(())
    });
    cut_off.await.unwrap();
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "one" }))
        .await
        .unwrap();
    let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
    assert_eq!(
        (
            enforcement.nodes,
            enforcement.acknowledged,
            enforcement.lost
        ),
        (2, 1, 1),
        "{enforcement:?}"
    );
    assert!(!enforcement.complete, "{enforcement:?}");
}

#[tokio::test]
async fn silent_streams_do_not_stop_the_api() {
    let gateway = Gateway::builder()
        .control_plane(|options| {
            options.environment.push((
                "LATCHKEY_STREAM_CONNECTIONS".to_owned(),
                "100000".to_owned(),
            ));
            options.open_files = Some(400);
        })
        .start()
        .await;
    let address = gateway.control_plane.stream();
    let mut silent = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(12) {
        while silent.len() < 430 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let asked = Instant::now();
        let answer = latchkey_tests::http_client()
            .get(gateway.control_plane.url("/healthz"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
        gateway.control_plane.get("/v1/keys").await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(
        gateway.control_plane.log().contains("limit of open files"),
        "it is logged"
    );
}
