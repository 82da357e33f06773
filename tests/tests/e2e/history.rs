//! Databases that are not the source of an Envoy's snapshot: rolled back, empty, foreign, restored.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_policy::record::FORMAT;
use latchkey_protocol::snapshots_client::SnapshotsClient;
use latchkey_protocol::window_count::Kind;
use latchkey_protocol::{FromNode, Hello, KeyUsage, Usage, WindowCount, from_node};
use latchkey_tests::{ControlPlane, ControlPlaneOptions, CreatedKey, Gateway, eventually};
use reqwest::Method;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

/// Longer than an Envoy takes to find a control plane, also after one that does not serve it.
const BACK: Duration = Duration::from_secs(30);

async fn key(control_plane: &ControlPlane, name: &str) -> CreatedKey {
    control_plane
        .create_key(json!({ "name": name }))
        .await
        .unwrap()
}

async fn becomes(gateway: &Gateway, key: &CreatedKey, expected: &str) {
    let became = eventually(BACK, async || {
        let answer = gateway.ask("/", Some(&key.api_key)).await;
        ensure!(
            answer.code() == expected,
            "it is {:?} and not {expected:?}",
            answer.code()
        );
        Ok(())
    });
    became.await.unwrap();
}

fn put_back(copy: &Path, database: &Path) {
    fs::copy(copy, database).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", database.display()));
    }
}

async fn waits(control_plane: &ControlPlane) {
    let waits = eventually(BACK, async || {
        let nodes = control_plane.nodes().await?;
        ensure!(
            nodes.iter().any(|node| node["state"] == "waiting"),
            "{nodes:?}"
        );
        Ok(())
    });
    waits.await.unwrap();
}

/// Rolls the database's files back to an earlier state. They overtake the revision that the Envoy
/// holds before it is back.
#[tokio::test]
async fn key_revoked_after_a_rollback_is_refused() {
    let mut gateway = Gateway::start().await;
    let revoked = key(&gateway.control_plane, "revoked").await;
    let kept = key(&gateway.control_plane, "kept").await;
    gateway.control_plane.stop().await.unwrap();
    let database = gateway.control_plane.options().database.clone();
    let copy = database.with_extension("copy");
    fs::copy(&database, &copy).unwrap();
    gateway.control_plane.start().await.unwrap();
    let mut lost = Vec::new();
    for name in ["a", "b", "c"] {
        lost.push(key(&gateway.control_plane, name).await);
    }
    becomes(&gateway, &lost[2], "").await;

    gateway.control_plane.kill();
    put_back(&copy, &database);
    let stream = gateway.control_plane.stream();
    // This Envoy cannot hear of the revocation, which gets a revision that it has already.
    gateway.control_plane.options().stream.set_port(0);
    gateway.control_plane.start().await.unwrap();
    gateway.control_plane.forget_session();
    let enforcement = gateway.control_plane.revoke(&revoked.key_id).await.unwrap();
    assert!(
        enforcement.acknowledged < enforcement.nodes,
        "{enforcement:?}"
    );
    for name in ["d", "e", "f", "g", "h"] {
        key(&gateway.control_plane, name).await;
    }
    gateway.control_plane.kill();
    gateway.control_plane.options().stream = stream;
    gateway.control_plane.start().await.unwrap();
    for (key, expected) in [
        (&revoked, "invalid_key"),
        (&lost[2], "invalid_key"),
        (&kept, ""),
    ] {
        becomes(&gateway, key, expected).await;
    }
    assert_eq!(
        gateway
            .control_plane
            .metric("latchkey_history_mismatches_total")
            .await
            .unwrap(),
        1.0
    );
    assert!(
        gateway
            .control_plane
            .log()
            .contains("a node holds a revision that this database does not have")
    );
}

/// Checks that both sides' logs and a metric report the waiting node, and no readiness fails.
async fn assert_waiting_is_reported(gateway: &Gateway) {
    let log = gateway.control_plane.log();
    let line = log
        .lines()
        .find(|line| line.contains("a node holds a snapshot of another database"))
        .unwrap();
    assert!(line.contains("latchkey node accept-epoch"), "{line}");
    let log = gateway.envoy.log();
    assert!(
        log.contains("does not know this snapshot's epoch") && log.contains("accept-epoch"),
        "{log}"
    );
    assert_eq!(
        gateway
            .control_plane
            .metric("latchkey_nodes_waiting")
            .await
            .unwrap(),
        1.0
    );
    for path in ["/readyz", "/readyz/stream"] {
        let answer = gateway
            .client
            .get(gateway.control_plane.url(path))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

/// The Envoy keeps serving its keys until the epoch of the empty database is accepted.
#[tokio::test]
async fn empty_database_removes_keys_once_accepted() {
    let mut gateway = Gateway::start().await;
    let kept = key(&gateway.control_plane, "kept").await;
    becomes(&gateway, &kept, "").await;
    gateway.control_plane.kill();
    let empty = gateway.dir().join("empty.db");
    gateway.control_plane.options().database = empty;
    gateway.control_plane.start().await.unwrap();
    gateway.control_plane.forget_session();
    waits(&gateway.control_plane).await;
    assert_waiting_is_reported(&gateway).await;
    for _ in 0..30 {
        assert_eq!(gateway.ask("/", Some(&kept.api_key)).await.status, 200);
        time::sleep(Duration::from_millis(100)).await;
    }
    let new = key(&gateway.control_plane, "new").await;
    assert_eq!(
        gateway.ask("/", Some(&new.api_key)).await.code(),
        "invalid_key",
        "it was fed"
    );

    let accepted = gateway
        .control_plane
        .call(Method::POST, "/v1/nodes/accept-epoch", json!({}))
        .await
        .unwrap();
    assert_eq!(accepted["epochs"].as_array().unwrap().len(), 1);
    for (key, expected) in [(&kept, "invalid_key"), (&new, "")] {
        becomes(&gateway, key, expected).await;
    }
}

#[tokio::test]
async fn waiting_envoy_serves_until_its_staleness_limit() {
    const STALENESS: u64 = 10;
    let limit = json!({ "max_staleness_seconds": STALENESS });
    let mut gateway = Gateway::builder()
        .envoy(move |envoy| envoy.configuration = limit)
        .start()
        .await;
    let kept = json!({ "name": "kept", "limits": { "minute": u32::MAX } });
    let kept = gateway.control_plane.create_key(kept).await.unwrap();
    becomes(&gateway, &kept, "").await;
    gateway.control_plane.kill();
    let killed = Instant::now();
    gateway.control_plane.options().database = gateway.dir().join("empty.db");
    gateway.control_plane.start().await.unwrap();
    gateway.control_plane.forget_session();
    waits(&gateway.control_plane).await;
    assert_eq!(
        gateway.ask("/", Some(&kept.api_key)).await.status,
        200,
        "after {:?}",
        killed.elapsed()
    );
    becomes(&gateway, &kept, "not_ready").await;
    // The last contact is up to a second older than the end of the stream.
    let served = killed.elapsed();
    assert!(
        served > Duration::from_secs(STALENESS - 3),
        "it served for {served:?}"
    );
    let new = key(&gateway.control_plane, "new").await;
    assert_eq!(
        gateway.ask("/", Some(&new.api_key)).await.code(),
        "not_ready",
        "it was fed"
    );

    gateway
        .control_plane
        .call(Method::POST, "/v1/nodes/accept-epoch", json!({}))
        .await
        .unwrap();
    for (key, expected) in [(&new, ""), (&kept, "invalid_key")] {
        becomes(&gateway, key, expected).await;
    }
}

#[tokio::test]
async fn another_databases_endpoint_removes_no_key() {
    let foreign_dir = tempfile::tempdir().unwrap();
    let foreign = ControlPlaneOptions::on_free_ports(foreign_dir.path()).unwrap();
    let endpoint =
        r#"socket_address: { address: "${STREAM_ADDRESS}", port_value: ${STREAM_PORT} }"#;
    let (address, port) = (foreign.stream.ip(), foreign.stream.port());
    let both: &'static str = Box::leak(Box::from(format!(
        "{endpoint}\n              - endpoint:\n                  address:\n                    \
         socket_address: {{ address: \"{address}\", port_value: {port} }}"
    )));
    let mut gateway = Gateway::builder()
        .envoy(move |envoy| envoy.replacements.push((endpoint, both)))
        .start()
        .await;
    let mut foreign = ControlPlane::new(foreign);
    let kept = key(&gateway.control_plane, "kept").await;
    becomes(&gateway, &kept, "").await;

    foreign.start().await.unwrap();
    gateway.control_plane.kill();
    waits(&foreign).await;
    for _ in 0..20 {
        assert_eq!(gateway.ask("/", Some(&kept.api_key)).await.status, 200);
        time::sleep(Duration::from_millis(100)).await;
    }
    // Envoy does not stay with the foreign control plane.
    gateway.control_plane.start().await.unwrap();
    gateway.control_plane.revoke(&kept.key_id).await.unwrap();
    becomes(&gateway, &kept, "invalid_key").await;
}

#[tokio::test]
async fn restore_counts_envoys_after_the_backup() {
    let mut gateway = Gateway::start().await;
    let revoked = key(&gateway.control_plane, "revoked").await;
    let backup = gateway.dir().join("backup.db");
    let backup = backup.to_str().unwrap();
    gateway.control_plane.run("backup", &[backup]).unwrap();
    gateway.restart_envoy().await.unwrap();
    assert_eq!(gateway.ask("/", Some(&revoked.api_key)).await.status, 200);

    gateway.control_plane.stop().await.unwrap();
    gateway
        .control_plane
        .run("restore", &[backup, "--force"])
        .unwrap();
    let stream = gateway.control_plane.stream();
    gateway.control_plane.options().stream.set_port(0);
    gateway.control_plane.start().await.unwrap();
    gateway.control_plane.forget_session();
    let enforcement = gateway.control_plane.revoke(&revoked.key_id).await.unwrap();
    assert!(
        enforcement.nodes > enforcement.acknowledged,
        "{enforcement:?}"
    );
    assert_eq!(
        gateway.ask("/", Some(&revoked.api_key)).await.status,
        200,
        "it serves what it has"
    );

    gateway.control_plane.kill();
    gateway.control_plane.options().stream = stream;
    gateway.control_plane.start().await.unwrap();
    becomes(&gateway, &revoked, "invalid_key").await;
    let nodes = gateway.control_plane.nodes().await.unwrap();
    assert!(
        nodes.iter().all(|node| node["state"] != "waiting"),
        "{nodes:?}"
    );
}

/// The node has a valid token, and reports requests of an hour ago as made now.
#[tokio::test]
async fn rogue_time_consumes_no_limit() {
    let gateway = Gateway::start().await;
    let limited = json!({ "name": "limited", "limits": { "hour": 5 } });
    let limited = gateway.control_plane.create_key(limited).await.unwrap();
    let mut client = SnapshotsClient::connect(format!("http://{}", gateway.control_plane.stream()))
        .await
        .unwrap();
    let (outbox, messages) = mpsc::channel(4);
    let mut request = Request::new(ReceiverStream::new(messages));
    let token = format!("Bearer {}", gateway.control_plane.node_token());
    request
        .metadata_mut()
        .insert("authorization", token.parse().unwrap());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let hello = Hello {
        node_id: "rogue".to_owned(),
        snapshot_secret: vec![1; 16],
        meter_secret: vec![2; 16],
        format: FORMAT,
        protocol: 1,
        staleness_seconds: 1,
        unix_millis: (now - 3_600) * 1_000,
        ..Hello::default()
    };
    let number = Window::Hour.number(i64::try_from(now).unwrap());
    let windows = vec![WindowCount {
        kind: Kind::Hour.into(),
        number,
        count: 1_000,
    }];
    // Keys are numbered in the order of their creation.
    let keys = (1..100).map(|key| KeyUsage {
        key,
        requests: vec![1_000],
        windows: windows.clone(),
        ..KeyUsage::default()
    });
    for message in [
        from_node::Message::Hello(hello),
        from_node::Message::Usage(Usage {
            sequence: 1,
            keys: keys.collect(),
        }),
    ] {
        outbox
            .send(FromNode {
                message: Some(message),
            })
            .await
            .unwrap();
    }
    let stream = client.sync(request).await.unwrap();
    let held_back = eventually(BACK, async || {
        let metric = gateway
            .control_plane
            .metric("latchkey_usage_held_back_total")
            .await?;
        ensure!(metric > 0.0, "nothing was held back");
        Ok(())
    });
    held_back.await.unwrap();
    for expected in ["", "", "", "", "", "rate_limited"] {
        assert_eq!(
            gateway.ask("/", Some(&limited.api_key)).await.code(),
            expected
        );
    }
    let nodes = gateway.control_plane.nodes().await.unwrap();
    let rogue = nodes
        .iter()
        .find(|node| node["node_id"] == "rogue")
        .unwrap();
    let skew = rogue["clock_skew_ms"].as_i64().unwrap();
    assert!((-3_610_000..-3_590_000).contains(&skew), "{rogue}");
    assert!(
        gateway
            .control_plane
            .log()
            .contains("a node's clock differs")
    );
    drop((stream, outbox));
}
