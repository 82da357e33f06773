//! The takeover of the stream by another thread when the thread that holds it ends.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_tests::{Gateway, eventually, faulty_filter};
use serde_json::json;

const WITHIN: Duration = Duration::from_secs(5);

/// The thread that holds the stream traps, and so does the one that takes over. Each time another
/// one continues within five seconds, and afterwards changes arrive as before.
#[tokio::test]
async fn another_thread_takes_the_stream_over() {
    let gateway = Gateway::builder()
        .filter(faulty_filter().unwrap())
        .envoy(|envoy| {
            envoy.concurrency = 4;
            envoy.configuration = json!({ "fault": { "holder_traps": 2 } });
        })
        .without_waiting()
        .start()
        .await;
    trapped(&gateway, 1).await;
    let first = Instant::now();
    trapped(&gateway, 2).await;
    let second = Instant::now();
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    let enforced = eventually(WITHIN, async || {
        let enforcement = gateway.control_plane.revoke(&key.key_id).await?;
        ensure!(
            (enforcement.nodes, enforcement.acknowledged) == (1, 1),
            "{enforcement:?}"
        );
        Ok(())
    });
    enforced.await.unwrap();
    let (one, other) = (second - first, second.elapsed());
    println!(
        "takeovers took {} ms and {} ms",
        one.as_millis(),
        other.as_millis()
    );
    assert!(
        one < WITHIN && other < WITHIN,
        "takeovers took {one:?} and {other:?}"
    );
}

/// Waits until `times` holders have trapped. A holder that traps has a revision in force: it has
/// taken over.
async fn trapped(gateway: &Gateway, times: usize) {
    let trapped = eventually(Duration::from_secs(10), async || {
        let trapped = gateway
            .envoy
            .log()
            .matches("fault: the holder of the stream traps")
            .count();
        ensure!(trapped >= times, "{trapped} holders have trapped");
        Ok(())
    });
    trapped.await.unwrap();
}

/// The holder's connection is cut several times. Each time the stream is back at once.
#[tokio::test]
async fn cut_stream_is_opened_again() {
    let mut gateway = Gateway::start().await;
    for round in 0..3 {
        gateway.control_plane.restart().await.unwrap();
        let back = Instant::now();
        let followed = eventually(Duration::from_secs(5), async || {
            let nodes = gateway.control_plane.nodes().await?;
            ensure!(
                nodes.len() == 1 && nodes[0]["connected"] == true,
                "{nodes:?}"
            );
            Ok(())
        });
        followed.await.unwrap();
        println!(
            "round {round}: the stream was back after {} ms",
            back.elapsed().as_millis()
        );
    }
    assert_eq!(
        gateway
            .envoy
            .stat("wasmcustom.latchkey_snapshots_loaded")
            .await
            .unwrap(),
        1
    );
}
