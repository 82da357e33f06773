//! A restored backup, as Envoys see it: they held later revisions, and accept the backup's.

use std::time::Duration;

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_tests::{ControlPlane, CreatedKey, Gateway, eventually};
use serde_json::json;

use crate::clock::time_in;
use crate::usage::used_today;

/// A limit longer than an Envoy takes to find its control plane again.
const BACK: Duration = Duration::from_secs(10);

async fn make(control_plane: &ControlPlane, name: &str) -> CreatedKey {
    control_plane
        .create_key(json!({ "name": name }))
        .await
        .unwrap()
}

/// Returns the verdict's code at Envoy; empty if the key passes.
async fn code(gateway: &Gateway, key: &CreatedKey) -> String {
    gateway.ask("/", Some(&key.api_key)).await.code().to_owned()
}

async fn becomes(gateway: &Gateway, key: &CreatedKey, expected: &str) {
    let became = eventually(BACK, async || {
        let code = code(gateway, key).await;
        ensure!(code == expected, "it is {code:?} and not {expected:?}");
        Ok(())
    });
    became.await.unwrap();
}

#[tokio::test]
async fn envoys_follow_the_restored_database() {
    time_in(Window::Day, 60).await;
    let mut gateway = Gateway::start().await;
    let kept = make(&gateway.control_plane, "kept").await;
    let revived = make(&gateway.control_plane, "revived").await;
    let limited = json!({ "name": "limited", "limits": { "month": 3 } });
    let limited = gateway.control_plane.create_key(limited).await.unwrap();
    for _ in 0..2 {
        assert_eq!(code(&gateway, &limited).await, "");
    }
    used_today(&gateway, &limited.key_id, 2).await;
    let backup = gateway.dir().join("backup.db");
    let backup = backup.to_str().unwrap();
    gateway.control_plane.run("backup", &[backup]).unwrap();
    let lost = make(&gateway.control_plane, "lost").await;
    gateway.control_plane.revoke(&revived.key_id).await.unwrap();
    for (key, expected) in [(&kept, ""), (&lost, ""), (&revived, "invalid_key")] {
        assert_eq!(code(&gateway, key).await, expected);
    }
    let in_use = gateway
        .control_plane
        .run("restore", &[backup, "--force"])
        .unwrap_err()
        .to_string();
    assert!(
        in_use.contains("in use by another control plane"),
        "{in_use}"
    );

    // It is killed, so that it leaves a write-ahead log that does not belong to the restored file.
    gateway.control_plane.kill();
    gateway
        .control_plane
        .run("restore", &[backup, "--force"])
        .unwrap();
    for (key, expected) in [(&kept, ""), (&lost, ""), (&revived, "invalid_key")] {
        assert_eq!(
            code(&gateway, key).await,
            expected,
            "until then Envoy goes on with what it has"
        );
    }
    gateway.control_plane.start().await.unwrap();
    for (key, expected) in [(&lost, "invalid_key"), (&kept, ""), (&revived, "")] {
        becomes(&gateway, key, expected).await;
    }
    for expected in ["", "rate_limited"] {
        assert_eq!(
            code(&gateway, &limited).await,
            expected,
            "what was counted before the backup counts"
        );
    }
    let ended = gateway
        .control_plane
        .key(&kept.key_id)
        .await
        .unwrap_err()
        .to_string();
    assert!(ended.contains("401"), "a session went on: {ended}");

    gateway.control_plane.forget_session();
    let new = make(&gateway.control_plane, "new").await;
    assert_eq!(
        code(&gateway, &new).await,
        "",
        "a key works from the answer on"
    );
    let enforcement = gateway.control_plane.revoke(&kept.key_id).await.unwrap();
    assert_eq!((enforcement.nodes, enforcement.acknowledged), (1, 1));
    assert_eq!(code(&gateway, &kept).await, "invalid_key");
    // The counts of a key that is lost belong to no other key.
    used_today(&gateway, &new.key_id, 1).await;
}
