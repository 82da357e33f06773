//! Many nodes at one control plane. They are not Envoys, but speak the stream as Envoys do.

use std::time::Duration;

use latchkey_policy::key::KeyDigest;
use latchkey_tests::{ControlPlane, ControlPlaneOptions, Fleet, Reports, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

const NODES: usize = 20;
const KEYS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a control plane with keys, and nodes that have all of them. Also returns the keys' ids.
async fn start(dir: &TempDir) -> (ControlPlane, Fleet, Vec<String>) {
    let mut control_plane =
        ControlPlane::new(ControlPlaneOptions::on_free_ports(dir.path()).unwrap());
    control_plane.start().await.unwrap();
    let digest = |n: usize| format!("{:?}", KeyDigest::of(format!("key {n}").as_bytes()));
    let row = |n| json!({ "name": format!("service {n}"), "sha256": digest(n) });
    let keys = control_plane
        .import((0..KEYS).map(row).collect::<Value>())
        .await
        .unwrap();
    let mut fleet = Fleet::new(control_plane.stream(), control_plane.node_token());
    fleet.load(NODES);
    fleet.current(1, PATIENCE).await.unwrap();
    (control_plane, fleet, keys)
}

#[tokio::test]
async fn all_nodes_agree_and_acknowledge_a_revocation() {
    let dir = TempDir::new().unwrap();
    let (control_plane, fleet, keys) = start(&dir).await;
    let first = fleet.totals(0);
    assert_eq!((first.keys, first.policies), (1_000, 1));
    for node in 1..NODES {
        assert_eq!(fleet.totals(node), first);
    }
    // Their reports do not delay them.
    fleet.report(Some(Reports {
        every: Duration::from_millis(50),
        keys: 3,
    }));
    for key in &keys[..10] {
        let enforcement = control_plane.revoke(key).await.unwrap();
        assert_eq!((enforcement.nodes, enforcement.acknowledged), (20, 20));
    }
    let stored = eventually(PATIENCE, async || {
        let reports = control_plane.metric("latchkey_usage_reports_total").await?;
        anyhow::ensure!(reports >= 40.0, "{reports} reports");
        Ok(())
    });
    stored.await.unwrap();
    fleet.intact().unwrap();
    assert_eq!(fleet.streams(), 20, "no stream was lost");
}

#[tokio::test]
async fn lagging_node_is_reported() {
    let dir = TempDir::new().unwrap();
    let (control_plane, fleet, keys) = start(&dir).await;
    fleet.withhold(7, true);
    let enforcement = control_plane.revoke(&keys[0]).await.unwrap();
    assert_eq!((enforcement.nodes, enforcement.acknowledged), (20, 19));
    let behind = |nodes: Vec<Value>| {
        let behind = nodes
            .iter()
            .filter(|node| node["revision"].as_u64() < Some(enforcement.revision));
        behind
            .filter_map(|node| node["node_id"].as_str())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(behind(control_plane.nodes().await.unwrap()), ["node-7"]);

    fleet.withhold(7, false);
    let again = control_plane.revoke(&keys[0]).await.unwrap();
    assert_eq!(
        (again.nodes, again.acknowledged, again.revision),
        (20, 20, enforcement.revision)
    );
}

#[tokio::test]
async fn restarted_nodes_catch_up_by_changes() {
    let dir = TempDir::new().unwrap();
    let (mut control_plane, fleet, keys) = start(&dir).await;
    control_plane.stop().await.unwrap();
    control_plane.start().await.unwrap();
    let enforcement = control_plane.revoke(&keys[0]).await.unwrap();
    assert_eq!(enforcement.nodes, 20, "also those that are not back yet");
    fleet.current(enforcement.revision, PATIENCE).await.unwrap();
    assert_eq!(
        control_plane
            .metric(r#"latchkey_stream_snapshots_total{kind="full"}"#)
            .await
            .unwrap(),
        0.0
    );
    assert_eq!(fleet.totals(0).keys, 0, "none was sent again");
    fleet.intact().unwrap();
}
