//! The data that the filters of one Envoy share: counters across updates of the code, and nothing
//! with another instance.

use std::time::Duration;

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_tests::{CreatedKey, EnvoyOptions, Gateway, Tally, burst, eventually, faulty_filter};
use serde_json::json;

use crate::clock::time_in;

const LIMIT: usize = 1_500;
const CONNECTIONS: usize = 8;

pub(crate) fn with_lds(envoy: &mut EnvoyOptions) {
    envoy.lds = true;
    envoy.drain_time = Some(Duration::from_secs(2));
}

/// Uses up a key while the filter's code is replaced. The number of requests that pass is exactly
/// its limit.
pub(crate) async fn limit_holds_through_update(
    gateway: &mut Gateway,
    change: impl FnOnce(&mut EnvoyOptions),
) -> (CreatedKey, u64) {
    time_in(Window::Day, 60).await;
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX, "day": LIMIT } });
    let made = gateway.control_plane.create_key(key).await.unwrap();
    let key = made.api_key.clone();
    let (before, mut tally) = (gateway.envoy.gateway(), Tally::new());
    let old = tokio::spawn({
        let key = key.clone();
        async move { burst(before, &key, CONNECTIONS, LIMIT / 2).await }
    });
    gateway.envoy.update(change).await.unwrap();
    while tally.get(&429).is_none_or(|refused| *refused < 100) {
        for (status, count) in burst(gateway.envoy.gateway(), &key, CONNECTIONS, 100).await {
            *tally.entry(status).or_default() += count;
        }
    }
    for (status, count) in old.await.unwrap() {
        *tally.entry(status).or_default() += count;
    }
    println!("{tally:?}");
    assert_eq!(tally[&200], LIMIT, "{tally:?}");
    (made, u64::try_from(LIMIT).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_is_exact_during_code_updates() {
    let mut gateway = Gateway::builder().envoy(with_lds).start().await;
    limit_holds_through_update(&mut gateway, |envoy| {
        envoy.filter = faulty_filter().unwrap();
    })
    .await;
}

#[tokio::test]
async fn node_token_comes_from_the_environment() {
    let from_environment = |envoy: &mut EnvoyOptions| {
        envoy.environment = vec![("EDGE_TOKEN".to_owned(), envoy.node_token.clone())];
        envoy.configuration =
            json!({ "control_plane": { "token": null, "token_env": "EDGE_TOKEN" } });
    };
    let gateway = Gateway::builder().envoy(from_environment).start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    let token = gateway.envoy_options().node_token;
    assert!(
        !gateway
            .envoy
            .admin_get("/config_dump")
            .await
            .unwrap()
            .contains(&token)
    );
}

#[tokio::test]
async fn no_stream_opens_without_the_node_token() {
    let missing = |envoy: &mut EnvoyOptions| {
        envoy.configuration =
            json!({ "control_plane": { "token": null, "token_env": "EDGE_TOKEN" } });
    };
    let gateway = Gateway::builder()
        .envoy(missing)
        .without_waiting()
        .start()
        .await;
    let logged = eventually(Duration::from_secs(5), async || {
        let log = gateway.envoy.log();
        ensure!(
            log.contains("[error]")
                && log.contains("the environment variable EDGE_TOKEN contains no node token")
        );
        Ok(())
    });
    logged.await.unwrap();
    assert_eq!(gateway.ask("/", None).await.code(), "not_ready");
    assert_eq!(
        gateway
            .envoy
            .stat("wasmcustom.latchkey_stream_opened")
            .await
            .unwrap_or(0),
        0
    );
}

/// Two listeners in the same VMs, with an instance each, are two nodes, and each counts separately.
#[tokio::test]
async fn instances_have_separate_streams_and_counters() {
    let second = |envoy: &mut EnvoyOptions| envoy.second = Some(json!({ "instance": "second" }));
    let gateway = Gateway::builder().envoy(second).start().await;
    let other = gateway.envoy.listener("second").await.unwrap();
    let both = eventually(Duration::from_secs(5), async || {
        let nodes = gateway.control_plane.nodes().await?;
        ensure!(nodes.len() == 2, "{nodes:?}");
        Ok(())
    });
    both.await.unwrap();
    for round in 0..5 {
        let key = gateway
            .control_plane
            .create_key(json!({ "name": format!("{round}") }))
            .await
            .unwrap();
        for listener in [gateway.envoy.gateway(), other] {
            assert_eq!(
                burst(listener, &key.api_key, 1, 1).await,
                Tally::from([(200, 1)])
            );
        }
        let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
        assert_eq!((enforcement.nodes, enforcement.acknowledged), (2, 2));
        for listener in [gateway.envoy.gateway(), other] {
            assert_eq!(
                burst(listener, &key.api_key, 1, 1).await,
                Tally::from([(401, 1)])
            );
        }
    }
}
