//! Limits over several Envoys, and over the restarts of one.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_tests::{Connection, Envoy, Gateway, eventually, request};
use serde_json::json;

use crate::clock::time_in;
use crate::usage::{REPORTED_WITHIN, used_today};

/// Sends `count` requests, of which all must be answered with `status`.
async fn send(envoy: &Envoy, key: &str, count: usize, status: u16) {
    let mut connection = Connection::to(envoy.gateway());
    for number in 0..count {
        let answer = connection
            .send(&request("GET", "/", &[("x-api-key", key)]))
            .await
            .unwrap();
        assert_eq!(answer.status, status, "request {number}: {}", answer.body);
    }
}

/// Waits until Envoy has learned that exactly `remaining` requests are left.
async fn knows_remaining(gateway: &Gateway, key: &str, remaining: i64) {
    let reported = eventually(REPORTED_WITHIN, async || {
        // This request is not counted: no service has this name.
        let answer = gateway.ask("/nowhere", Some(key)).await;
        ensure!(answer.code() == "out_of_scope", "{}", answer.body);
        let left = answer
            .headers
            .get("x-ratelimit-remaining")
            .map(|value| value.to_str().unwrap().parse());
        ensure!(left == Some(Ok(remaining)), "{left:?} are left");
        Ok(())
    });
    reported.await.unwrap();
}

async fn start() -> Gateway {
    let gateway = Gateway::start().await;
    let rules = json!([{ "path": { "exact": "/nowhere" }, "service": "nowhere" }]);
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    gateway
}

/// Envoy or the control plane restarts.
#[tokio::test]
async fn day_and_month_continue_across_restarts() {
    let mut gateway = start().await;
    for window in [Window::Day, Window::Month] {
        time_in(Window::Day, 60).await;
        let key = json!({ "name": window.as_str(), "limits": { window.as_str(): 20 }, "scope": ["somewhere"] });
        let key = gateway.control_plane.create_key(key).await.unwrap();
        send(&gateway.envoy, &key.api_key, 6, 200).await;
        used_today(&gateway, &key.key_id, 6).await;

        gateway.restart_envoy().await.unwrap();
        knows_remaining(&gateway, &key.api_key, 14).await;
        send(&gateway.envoy, &key.api_key, 5, 200).await;

        gateway.control_plane.restart().await.unwrap();
        knows_remaining(&gateway, &key.api_key, 9).await;
        send(&gateway.envoy, &key.api_key, 3, 200).await;
        used_today(&gateway, &key.key_id, 14).await;

        gateway.control_plane.kill();
        send(&gateway.envoy, &key.api_key, 4, 200).await;
        gateway.control_plane.start().await.unwrap();
        used_today(&gateway, &key.key_id, 18).await;

        gateway.restart_envoy().await.unwrap();
        knows_remaining(&gateway, &key.api_key, 2).await;
        send(&gateway.envoy, &key.api_key, 2, 200).await;
        send(&gateway.envoy, &key.api_key, 3, 429).await;
    }
}

const LIMIT: u64 = 2_000;
/// The rate at each Envoy, in requests per second.
const RATE: u32 = 300;
/// The delay until an Envoy learns of requests that another admitted.
const DELAY: Duration = Duration::from_secs(1);

/// Sends requests at the rate until one is refused. Returns the number that passed, and the number
/// per second.
async fn paced(envoy: &Envoy, key: &str) -> (u64, f64) {
    let request = request("GET", "/", &[("x-api-key", key)]);
    let mut connection = Connection::to(envoy.gateway());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let (mut passed, begin) = (0, Instant::now());
    loop {
        ticks.tick().await;
        match connection.send(&request).await.unwrap().status {
            200 => passed += 1,
            429 => return (passed, passed as f64 / begin.elapsed().as_secs_f64()),
            status => panic!("{status}"),
        }
    }
}

/// Three Envoys together admit the limit L. Beyond it each may only admit requests until it learns
/// of the others'. When the last request of L has passed, every node knows of all requests that the
/// others admitted earlier than D = 1 s ago. So it does not know of the requests that the others
/// admitted within D:
///
/// total ≤ L + Σ over the other nodes of (rate of the node × D)
///
/// The rate is the measured one: the requests that the node admitted, divided by the time in which
/// it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overshoot_of_three_envoys_is_bounded() {
    let gateway = Gateway::start().await;
    let others = [
        gateway.another_envoy("second").await.unwrap(),
        gateway.another_envoy("third").await.unwrap(),
    ];
    let envoys = [&gateway.envoy, &others[0], &others[1]];
    time_in(Window::Day, 30).await;
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX, "day": LIMIT } });
    let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
    let [first, second, third] = envoys.map(|envoy| paced(envoy, &key));
    let nodes: [(u64, f64); 3] = tokio::join!(first, second, third).into();
    let total: u64 = nodes.iter().map(|(passed, _)| passed).sum();
    let rates = nodes.map(|(_, rate)| rate);
    // The sum leaves out the node that was the last to admit a request. It may be any, so the
    // slowest is left out.
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let others = rates.iter().sum::<f64>() - slowest;
    let bound = LIMIT as f64 + others * DELAY.as_secs_f64();
    println!("{total} of {LIMIT} passed, at most {bound:.0} may; {rates:.0?} a second");
    assert!(total >= LIMIT, "{nodes:?}");
    assert!(total as f64 <= bound, "{total} passed, more than {bound}");
    for envoy in envoys {
        send(envoy, &key, 100, 429).await;
    }
}
