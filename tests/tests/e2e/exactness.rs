//! Limits are exact in one Envoy, for any number of workers and connections.

use latchkey_policy::limit::Window;
use latchkey_tests::{Gateway, Tally, burst};
use reqwest::Method;
use serde_json::{Value, json};

use crate::clock::time_in;

const WORKERS: u32 = 4;
const CONNECTIONS: usize = 64;
const RUNS: usize = 20;
/// The number of requests beyond the limit.
const TOO_MANY: usize = 300;

async fn gateway() -> Gateway {
    Gateway::builder()
        .envoy(|envoy| envoy.concurrency = WORKERS)
        .start()
        .await
}

/// Sends `limit` requests and some more with a new key that has these limits, and returns the
/// number of answers with each status.
async fn run(gateway: &Gateway, name: &str, limits: &Value, limit: usize) -> Tally {
    let key = json!({ "name": name, "limits": limits });
    let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
    burst(gateway.envoy.gateway(), &key, CONNECTIONS, limit + TOO_MANY).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_is_exact_in_every_run() {
    let gateway = gateway().await;
    for limit in [1, 10, 100, 1_000] {
        for round in 0..RUNS {
            time_in(Window::Day, 30).await;
            let name = format!("{limit}, run {round}");
            let tally = run(
                &gateway,
                &name,
                &json!({ "minute": u32::MAX, "day": limit }),
                limit,
            )
            .await;
            assert_eq!(
                tally,
                Tally::from([(200, limit), (429, TOO_MANY)]),
                "{name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_is_exact_within_a_minute() {
    let gateway = gateway().await;
    time_in(Window::Minute, 10).await;
    let tally = run(
        &gateway,
        "CI",
        &json!({ "minute": 500, "day": 1_000_000 }),
        500,
    )
    .await;
    assert_eq!(tally, Tally::from([(200, 500), (429, TOO_MANY)]));
}

/// Checks also that the other limit is charged as often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smaller_of_two_limits_is_exact() {
    let gateway = gateway().await;
    time_in(Window::Day, 30).await;
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX, "day": 200, "month": 250 } });
    let key = gateway.control_plane.create_key(key).await.unwrap();
    let tally = burst(
        gateway.envoy.gateway(),
        &key.api_key,
        CONNECTIONS,
        200 + TOO_MANY,
    )
    .await;
    assert_eq!(tally, Tally::from([(200, 200), (429, TOO_MANY)]));
    let path = format!("/v1/keys/{}", key.key_id);
    let roomier = json!({ "limits": { "day": 100_000 } });
    gateway
        .control_plane
        .change(Method::PATCH, &path, roomier)
        .await
        .unwrap();
    let tally = burst(
        gateway.envoy.gateway(),
        &key.api_key,
        CONNECTIONS,
        50 + TOO_MANY,
    )
    .await;
    assert_eq!(
        tally,
        Tally::from([(200, 50), (429, TOO_MANY)]),
        "what was refused took nothing from the month"
    );
}
