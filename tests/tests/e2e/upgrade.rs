//! An upgrade from an earlier version, in the order that docs/operations/upgrading.md names: the
//! control plane first, then Envoys.

use std::time::Duration;

use anyhow::ensure;
use latchkey_tests::{Earlier, EnvoyOptions, Gateway, eventually, http_client};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(2);

fn lds(envoy: &mut EnvoyOptions) {
    envoy.lds = true;
    envoy.drain_time = Some(Duration::from_secs(1));
}

/// Returns the statuses that the keys of the earlier database get at Envoy.
async fn statuses(gateway: &Gateway, earlier: &Earlier) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (path, key) in [
        ("/x", "plain"),
        ("/x", "limited"),
        ("/dns/a", "roles"),
        ("/dns/a", "plain"),
        ("/x", "revoked"),
    ] {
        statuses.push(gateway.ask(path, Some(earlier.key(key))).await.status);
    }
    statuses
}

const EXPECTED: [u16; 5] = [200, 200, 200, 403, 401];

/// Revokes a key. In the end every node that may serve has acknowledged that, and the key is
/// refused.
async fn revoke(gateway: &Gateway, earlier: &Earlier, id: &str, name: &str) {
    let (id, key) = (earlier.key(id), earlier.key(name));
    assert_eq!(gateway.ask("/x", Some(key)).await.status, 200, "{name}");
    gateway.control_plane.revoke(id).await.unwrap();
    let complete = eventually(PATIENCE, async || {
        let enforcement = gateway.control_plane.revoke(id).await?;
        ensure!(enforcement.complete, "{enforcement:?}");
        Ok(())
    });
    complete.await.unwrap();
    assert_eq!(gateway.ask("/x", Some(key)).await.status, 401, "{name}");
}

#[tokio::test]
async fn upgrade_keeps_existing_nodes_and_keys() {
    let earlier = Earlier::version("0.1.0").unwrap();
    let dir = TempDir::new().unwrap();
    let database = dir.path().join("latchkey.db");
    earlier.write_database(&database).await.unwrap();
    let gateway = Gateway::builder().filter(earlier.filter()).envoy(lds);
    let gateway = gateway
        .control_plane(move |plane| (plane.database, plane.node_grace) = (database, Some(GRACE)));
    let mut gateway = gateway.start().await;

    // First comes the new control plane with Envoys of the earlier version.
    assert_eq!(statuses(&gateway, &earlier).await, EXPECTED);
    let made = gateway
        .control_plane
        .create_key(json!({ "name": "made by the new version" }))
        .await
        .unwrap();
    assert_eq!(gateway.ask("/x", Some(&made.api_key)).await.status, 200);
    revoke(&gateway, &earlier, "listed_id", "listed").await;
    let rules = json!({ "rules": [{ "path": { "prefix": "/dns" }, "permission": "dns:read" }] });
    gateway.control_plane.put_routes(rules).await.unwrap();
    assert_eq!(statuses(&gateway, &earlier).await, EXPECTED);

    // It starts again: such nodes know no tags, so they load the whole snapshot, which is not an
    // error.
    gateway.control_plane.kill();
    gateway.control_plane.start().await.unwrap();
    revoke(&gateway, &earlier, "rotated_id", "rotated_new").await;
    assert_eq!(statuses(&gateway, &earlier).await, EXPECTED);
    assert!(!gateway.logs().contains("ERROR"), "{}", gateway.logs());

    // Then the Envoys are updated, one code update each, while the earlier filter's workers still
    // serve the draining connections.
    let filter = latchkey_tests::filter().unwrap();
    gateway
        .envoy
        .update(|options| options.filter = filter)
        .await
        .unwrap();
    gateway.client = http_client();
    gateway.ready().await.unwrap();
    let node = eventually(PATIENCE, async || {
        let nodes = gateway.control_plane.nodes().await?;
        let node = nodes
            .into_iter()
            .find(|node| node["connected"] == true && node["version"] != "0.1.0");
        node.ok_or_else(|| anyhow::anyhow!("no node of the new version yet"))
    });
    node.await.unwrap();
    assert_eq!(statuses(&gateway, &earlier).await, EXPECTED);
    revoke(&gateway, &earlier, "plain_id", "plain").await;
}

#[tokio::test]
async fn limits_and_usage_survive_an_upgrade() {
    let earlier = Earlier::version("0.1.0").unwrap();
    let dir = TempDir::new().unwrap();
    let database = dir.path().join("latchkey.db");
    earlier.write_database(&database).await.unwrap();
    let gateway = Gateway::builder().filter(earlier.filter()).envoy(lds);
    let mut gateway = gateway
        .control_plane(move |plane| plane.database = database)
        .start()
        .await;
    let path = format!("/v1/keys/{}", earlier.key("limited_id"));
    // The counts that the earlier version's processes have reported are still known, and are not
    // counted twice.
    let day = json!({ "limits": { "day": 20 } });
    gateway
        .control_plane
        .call(Method::PATCH, &path, day)
        .await
        .unwrap();
    let mut admitted = 0;
    let mut ask = async |gateway: &Gateway, requests: usize| {
        for _ in 0..requests {
            let status = gateway.ask("/x", Some(earlier.key("limited"))).await.status;
            assert!([200, 429].contains(&status), "{status}");
            admitted += usize::from(status == 200);
        }
        admitted
    };
    assert_eq!(ask(&gateway, 8).await, 8);
    let counted = eventually(PATIENCE, async || {
        let usage = gateway.control_plane.key(earlier.key("limited_id")).await?["usage"].take();
        ensure!(
            usage["requests_today"]
                .as_u64()
                .is_some_and(|requests| requests >= 8),
            "{usage}"
        );
        Ok(())
    });
    counted.await.unwrap();
    let filter = latchkey_tests::filter().unwrap();
    gateway
        .envoy
        .update(|options| options.filter = filter)
        .await
        .unwrap();
    gateway.client = http_client();
    gateway.ready().await.unwrap();
    assert!(
        ask(&gateway, 30).await <= 20,
        "the day's limit is one limit, whichever filter admits"
    );
}
