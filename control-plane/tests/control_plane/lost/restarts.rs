//! Tests lost nodes across restarts of the control plane, and starts that cannot know all nodes.

use super::{DAY, create, enforcement, is_lost, ready};
use crate::harness::Plane;
use crate::node::{INSTANCE, PATIENCE, handle, hello};
use latchkey_protocol::Hello;
use reqwest::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn lost_nodes_survive_restarts_and_clocks() {
    let mut plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    drop(
        ready(
            &plane,
            Hello {
                staleness_seconds: DAY,
                ..hello()
            },
        )
        .await,
    );
    is_lost(&plane.log_in().await, &handle(INSTANCE)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    for seconds in [0, 3 * 86_400, -6 * 86_400] {
        plane.take().shutdown().await;
        plane.clock.advance(seconds);
        plane.run().await;
        let client = plane.log_in().await;
        let nodes = client.get("/v1/nodes").await;
        assert_eq!(
            nodes.at("/data/nodes/0/handle"),
            &json!(handle(INSTANCE)),
            "{seconds}"
        );
    }
}

#[tokio::test]
async fn unknown_past_counts_a_lost_node() {
    for seconds in [6, -1] {
        let mut plane = Plane::start_with(&["--node-grace-ms=1000"]).await;
        plane.take().shutdown().await;
        plane.clock.advance(seconds);
        plane.run().await;
        let client = plane.log_in().await;
        assert_eq!(
            enforcement(&create(&client, "one", 0).await),
            json!([1, 0, 1, false])
        );
        assert!(
            client
                .get("/v1/nodes")
                .await
                .at("/data/unknown")
                .is_object()
        );
        assert_eq!(plane.metric("latchkey_nodes_unknown").await, 1.0);
        // Unknown nodes count for the longest known staleness, and at least for the grace period.
        let started = Instant::now();
        while plane.metric("latchkey_nodes_unknown").await > 0.0 {
            assert!(started.elapsed() < PATIENCE);
        }
        assert_eq!(
            enforcement(&create(&client, "two", 0).await),
            json!([0, 0, 0, true])
        );
    }
}

#[tokio::test]
async fn unknown_nodes_count_until_forgotten() {
    let mut plane = Plane::start().await;
    drop(
        ready(
            &plane,
            Hello {
                staleness_seconds: 0,
                ..hello()
            },
        )
        .await,
    );
    is_lost(&plane.log_in().await, &handle(INSTANCE)).await;
    plane.take().shutdown().await;
    plane.clock.advance(60);
    plane.run().await;
    // They also count after a start that knows what happened since the last one.
    plane.restart().await;
    let client = plane.log_in().await;
    assert_eq!(
        client.get("/v1/nodes").await.at("/data/unknown"),
        &json!({}),
        "a known node has no limit"
    );
    assert_eq!(
        enforcement(&create(&client, "one", 0).await),
        json!([2, 0, 2, false])
    );
    assert_eq!(
        client.delete("/v1/nodes/unknown").await.status,
        StatusCode::OK
    );
    assert_eq!(
        enforcement(&create(&client, "two", 0).await),
        json!([1, 0, 1, false])
    );
    plane.restart().await;
    let client = plane.log_in().await;
    client
        .delete("/v1/nodes/unknown")
        .await
        .refused(404, "node_not_found");
}

/// A quick restart has a known past too.
#[tokio::test]
async fn new_database_has_known_past() {
    let mut plane = Plane::start().await;
    assert_eq!(
        enforcement(&create(&plane.log_in().await, "one", 0).await),
        json!([0, 0, 0, true])
    );
    plane.restart().await;
    assert_eq!(
        enforcement(&create(&plane.log_in().await, "two", 0).await),
        json!([0, 0, 0, true])
    );
    plane.crash().await;
    assert_eq!(
        enforcement(&create(&plane.log_in().await, "three", 0).await),
        json!([0, 0, 0, true])
    );
}
