//! Envoys that end, are suspended or change their record format, with a control plane that knows
//! all messages.

use std::time::Duration;

use anyhow::ensure;
use latchkey_tests::{EnvoyOptions, Gateway, eventually, next_format_filter};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::handover::{ensure_main_thread_opened_stream, stream_is_on_the_main_thread};
use crate::shared_memory::{limit_holds_through_update, with_lds};
use crate::usage::used_today;

async fn is_forgotten_at_once(gateway: &Gateway) {
    let forgotten = eventually(Duration::from_secs(1), async || {
        let nodes = gateway.control_plane.nodes().await?;
        ensure!(nodes.is_empty(), "{nodes:?}");
        Ok(())
    });
    forgotten.await.unwrap();
}

#[tokio::test]
async fn stopped_envoy_is_forgotten_at_once() {
    let mut gateway = Gateway::start().await;
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX } });
    let key = gateway.control_plane.create_key(key).await.unwrap();
    stream_is_on_the_main_thread(&gateway, &key).await;
    gateway.envoy.stop().await.unwrap();
    is_forgotten_at_once(&gateway).await;
    let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
    assert_eq!((enforcement.nodes, enforcement.acknowledged), (0, 0));
}

/// Each of several idle workers could have the stream, but only the main thread is the last to end.
#[tokio::test]
async fn idle_envoy_is_forgotten_at_once() {
    let mut gateway = Gateway::builder()
        .envoy(|envoy| envoy.concurrency = 8)
        .without_waiting()
        .start()
        .await;
    for _ in 0..4 {
        gateway.control_plane.restart().await.unwrap();
        let settled = eventually(Duration::from_secs(20), async || {
            let nodes = gateway.control_plane.nodes().await?;
            ensure!(
                nodes.len() == 1 && nodes[0]["connected"] == true,
                "{nodes:?}"
            );
            ensure_main_thread_opened_stream(&gateway)
        });
        settled.await.unwrap();
    }
    gateway.envoy.stop().await.unwrap();
    is_forgotten_at_once(&gateway).await;
}

/// The workers of a draining listener continue to serve, so nobody says goodbye.
#[tokio::test]
async fn drained_listeners_are_no_goodbye() {
    let gateway = Gateway::start().await;
    let url = gateway.envoy.url("/");
    gateway.envoy.admin_post("/drain_listeners").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        gateway.control_plane.nodes().await.unwrap().len(),
        1,
        "{url}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_is_exact_across_format_change() {
    let mut gateway = Gateway::builder().envoy(with_lds).start().await;
    let (key, admitted) = limit_holds_through_update(&mut gateway, |envoy| {
        envoy.filter = next_format_filter().unwrap();
    })
    .await;
    used_today(&gateway, &key.key_id, admitted).await;
    // Until the old listener's drain has ended, each format has a stream, and one of them reports.
    tokio::time::sleep(Duration::from_secs(4)).await;
    used_today(&gateway, &key.key_id, admitted).await;
}

/// A process that was suspended does not trust messages that waited in its sockets during that
/// time.
#[tokio::test]
async fn suspended_envoy_serves_nothing_stale() {
    let limit =
        |envoy: &mut EnvoyOptions| envoy.configuration = json!({ "max_staleness_seconds": 2 });
    let mut gateway = Gateway::builder().envoy(limit).start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    let pid = Pid::from_raw(i32::try_from(gateway.envoy.pid()).unwrap());
    for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
        kill(pid, signal).unwrap();
        if signal == Signal::SIGSTOP {
            tokio::time::sleep(Duration::from_secs(4)).await;
            gateway.control_plane.kill();
        }
    }
    for _ in 0..200 {
        let answer = gateway.ask("/", Some(&key.api_key)).await;
        assert_eq!((answer.status, answer.code()), (503, "not_ready"));
    }
}
