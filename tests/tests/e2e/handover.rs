//! The worker that holds the stream ends with its listener, and another takes over at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use latchkey_tests::{
    CreatedKey, EnvoyOptions, Gateway, Load, Tally, burst, eventually, faulty_filter, filter,
    http_client, request,
};
use serde_json::json;

const DRAIN: Duration = Duration::from_secs(2);

/// The time from the update until the old listener's workers have ended.
const WATCHED: Duration = Duration::from_secs(5);

/// The bound for a revocation. Without a handover the lease has to expire, which takes three
/// seconds.
const LIMIT: Duration = Duration::from_millis(500);

async fn gateway() -> Gateway {
    let envoy = |envoy: &mut EnvoyOptions| {
        envoy.lds = true;
        envoy.drain_time = Some(DRAIN);
        envoy.concurrency = 2;
    };
    Gateway::builder().envoy(envoy).start().await
}

/// Revokes one key after the other while the old listener is drained. Returns the longest duration.
async fn longest_revocation(gateway: &Gateway) -> Duration {
    let (begin, mut longest) = (Instant::now(), Duration::ZERO);
    while begin.elapsed() < WATCHED {
        let key = gateway
            .control_plane
            .create_key(json!({ "name": "short-lived" }))
            .await
            .unwrap();
        let start = Instant::now();
        let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
        longest = longest.max(start.elapsed());
        assert_eq!(
            (enforcement.nodes, enforcement.acknowledged),
            (1, 1),
            "{enforcement:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    longest
}

#[tokio::test]
async fn revocations_stay_fast_during_configuration_updates() {
    let mut gateway = gateway().await;
    for round in 0..3 {
        let header = json!({ "identity_headers": { format!("x-round-{round}"): "name" } });
        gateway
            .envoy
            .update(|envoy| envoy.configuration = header)
            .await
            .unwrap();
        let longest = longest_revocation(&gateway).await;
        println!(
            "round {round}: the longest revocation took {} ms",
            longest.as_millis()
        );
        assert!(longest < LIMIT, "{longest:?}");
    }
}

#[tokio::test]
async fn revocations_stay_fast_during_code_updates() {
    let mut gateway = gateway().await;
    for (round, wasm) in [faulty_filter().unwrap(), filter().unwrap()]
        .into_iter()
        .enumerate()
    {
        gateway
            .envoy
            .update(|envoy| envoy.filter = wasm)
            .await
            .unwrap();
        let longest = longest_revocation(&gateway).await;
        println!(
            "round {round}: the longest revocation took {} ms",
            longest.as_millis()
        );
        assert!(longest < LIMIT, "{longest:?}");
    }
}

/// The main thread is the last to end when Envoy shuts down, so it is the one that can say goodbye.
#[tokio::test]
async fn stream_moves_to_a_thread_without_requests() {
    let gateway = Gateway::builder()
        .envoy(|envoy| envoy.concurrency = 1)
        .start()
        .await;
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX } });
    let key = gateway.control_plane.create_key(key).await.unwrap();
    stream_is_on_the_main_thread(&gateway, &key).await;
}

/// Sends requests until all workers have served one, and the main thread has the stream.
pub(crate) async fn stream_is_on_the_main_thread(gateway: &Gateway, key: &CreatedKey) {
    let on_main_thread = eventually(Duration::from_secs(15), async || {
        let served = burst(gateway.envoy.gateway(), &key.api_key, 16, 32).await;
        ensure!(served == Tally::from([(200, 32)]), "{served:?}");
        ensure_main_thread_opened_stream(gateway)
    });
    on_main_thread.await.unwrap();
}

/// Fails unless the last stream is the main thread's.
pub(crate) fn ensure_main_thread_opened_stream(gateway: &Gateway) -> Result<()> {
    let log = gateway.envoy.log();
    let last = log
        .lines()
        .rfind(|line| line.contains("following the") || line.contains("loading a snapshot"));
    let thread = format!("[{}]", gateway.envoy.pid());
    ensure!(last.is_some_and(|line| line.contains(&thread)), "{last:?}");
    Ok(())
}

#[tokio::test]
async fn usage_is_complete_when_envoy_stops() {
    let mut gateway = gateway().await;
    for round in 0..3 {
        let made = |name: String| json!({ "name": name, "limits": { "minute": u32::MAX } });
        let other = gateway
            .control_plane
            .create_key(made(format!("before {round}")))
            .await
            .unwrap();
        let key = gateway
            .control_plane
            .create_key(made(format!("round {round}")))
            .await
            .unwrap();
        // The main thread ends last, and reports what all workers have counted.
        stream_is_on_the_main_thread(&gateway, &other).await;
        let requests = vec![request("GET", "/", &[("x-api-key", &key.api_key)]); 8];
        let load = Load::start(gateway.envoy.gateway(), requests);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        // These requests were answered before the stop, so they are counted.
        let answered = load
            .stop()
            .await
            .iter()
            .flatten()
            .filter(|sample| sample.status == 200)
            .count();
        gateway.envoy.stop().await.unwrap();
        let reported = eventually(Duration::from_secs(2), async || {
            let usage = gateway.control_plane.key(&key.key_id).await?["usage"].take();
            ensure!(
                usage["requests_today"] == json!(answered),
                "{answered} requests, but {usage}"
            );
            Ok(())
        });
        reported.await.unwrap();
        gateway.restart_envoy().await.unwrap();
        gateway.client = http_client();
    }
}
