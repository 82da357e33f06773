//! Two listeners whose filters have different configurations and the same `vm_config`. Envoy
//! creates one VM per thread for both, and each request is decided by the configuration of its
//! listener.

use std::net::SocketAddr;

use latchkey_policy::limit::Window;
use latchkey_tests::{Answer, Connection, CreatedKey, EnvoyOptions, Gateway, request};
use serde_json::json;
use tokio::task::JoinSet;

use crate::clock::time_in;
use crate::usage::used_today;

const WORKERS: u32 = 4;

/// The number of connections to each listener; enough to reach every worker.
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 20;

/// The header with the key at the first listener, and at the second.
const PLACES: [&str; 2] = ["x-api-key", "apikey"];

/// A connection to each of the listeners.
#[derive(Debug)]
struct Both([Connection; 2]);

impl Both {
    fn to(listeners: [SocketAddr; 2]) -> Self {
        Self(listeners.map(Connection::to))
    }

    /// Sends the same request to the first and then to the second listener.
    async fn ask(&mut self, place: &str, key: &CreatedKey) -> [Answer; 2] {
        let request = request("GET", "/", &[(place, &key.api_key)]);
        let [one, other] = &mut self.0;
        [
            one.send(&request).await.unwrap(),
            other.send(&request).await.unwrap(),
        ]
    }

    /// Returns the code at each listener, with the key in its header.
    async fn codes(&mut self, key: &CreatedKey) -> [String; 2] {
        let [one, _] = self.ask(PLACES[0], key).await;
        let [_, other] = self.ask(PLACES[1], key).await;
        [one, other].map(|answer| answer.code().to_owned())
    }
}

/// Starts the shipped gateway, and a second listener that differs in everything that is visible
/// from outside.
async fn gateway() -> (Gateway, [SocketAddr; 2]) {
    let second = json!({
        "credentials": { "headers": [PLACES[1]], "bearer": false, "forward": true },
        "identity_headers": { "x-consumer-id": "key" },
        "rate_limit_headers": ["ietf"],
        "shadow": ["missing_key"],
    });
    let options = |envoy: &mut EnvoyOptions| {
        envoy.concurrency = WORKERS;
        envoy.second = Some(second);
    };
    let gateway = Gateway::builder().envoy(options).start().await;
    let listeners = [
        gateway.envoy.gateway(),
        gateway.envoy.listener("second").await.unwrap(),
    ];
    // There is one VM for each worker, one for the main thread, and the one that these are copied
    // from.
    assert_eq!(
        gateway
            .envoy
            .stat("wasm.envoy.wasm.runtime.v8.active")
            .await
            .unwrap(),
        u64::from(WORKERS) + 2
    );
    (gateway, listeners)
}

async fn make(gateway: &Gateway) -> CreatedKey {
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX } });
    gateway.control_plane.create_key(key).await.unwrap()
}

/// Returns the differences of the listeners: the code, the header with the limit, and the key and
/// the identity that reach the upstream.
fn seen(answer: &Answer) -> (&str, Option<&str>, Option<&str>, Option<&str>) {
    let limits = ["x-ratelimit-limit", "ratelimit"]
        .into_iter()
        .find(|name| answer.headers.contains_key(*name));
    let key = PLACES
        .iter()
        .find_map(|place| answer.reached_upstream(place));
    (
        answer.code(),
        limits,
        key,
        answer.reached_upstream("x-consumer-id"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_follows_its_own_configuration() {
    time_in(Window::Day, 60).await;
    let (gateway, listeners) = gateway().await;
    let key = make(&gateway).await;
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (mut both, key) = (Both::to(listeners), key.clone());
        tasks.spawn(async move {
            let (secret, id) = (Some(key.api_key.as_str()), Some(key.key_id.as_str()));
            for _ in 0..ROUNDS {
                let [one, other] = both.ask(PLACES[0], &key).await;
                assert_eq!(seen(&one), ("", Some("x-ratelimit-limit"), None, None));
                assert_eq!(
                    seen(&other),
                    ("", None, secret, None),
                    "a missing key is shadowed, and this is none of its"
                );
                let [one, other] = both.ask(PLACES[1], &key).await;
                assert_eq!(seen(&one), ("missing_key", None, None, None));
                assert_eq!(seen(&other), ("", Some("ratelimit"), secret, id));
            }
        });
    }
    tasks.join_all().await;
    let admitted = u64::try_from(2 * CONNECTIONS * ROUNDS).unwrap();
    used_today(&gateway, &key.key_id, admitted).await;
}

#[tokio::test]
async fn revocation_is_enforced_at_both_listeners() {
    let (gateway, listeners) = gateway().await;
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| Both::to(listeners)).collect();
    for _ in 0..ROUNDS {
        let key = make(&gateway).await;
        for both in &mut connections {
            assert_eq!(
                both.codes(&key).await,
                ["", ""],
                "a key works from the answer on"
            );
        }
        let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
        assert_eq!(
            (enforcement.nodes, enforcement.acknowledged),
            (1, 1),
            "the filters share a stream"
        );
        for both in &mut connections {
            assert_eq!(both.codes(&key).await, ["invalid_key", "invalid_key"]);
        }
    }
}
