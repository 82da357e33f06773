//! `POST /v1/explain` and the filter return the same verdict on every request.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use latchkey_tests::{Answer, Connection, Gateway, SeededRng, request};
use reqwest::Method;
use tokio::task::JoinSet;

use world::{TrialRequest, World};

const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 8;
const SEED: u64 = 3;

/// Returns the verdict's code. Only the filter reports the identity, and not on a public route.
fn code(answer: &Answer) -> &str {
    match (
        answer.status,
        answer.reached_upstream("x-latchkey-identity"),
    ) {
        (200, Some(_)) => "allowed",
        (200, None) => "public",
        _ => answer.code(),
    }
}

/// Envoy does not normalize paths here, so that the described path is the one that the filter sees.
/// Compares ten thousand requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_agrees_with_the_filter() {
    let gateway = Gateway::builder().envoy(|envoy| {
        envoy.trusted_proxies = 1;
        envoy.tidy_paths = false;
    });
    let gateway = Arc::new(gateway.start().await);
    let mut rng = SeededRng(SEED);
    let world = World::make(&gateway, &mut rng).await;
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let requests: Vec<_> = (0..REQUESTS / CONNECTIONS)
            .map(|_| world.request(&mut rng))
            .collect();
        tasks.spawn(compare(gateway.clone(), requests));
    }
    let mut codes = BTreeMap::<String, usize>::new();
    for code in tasks.join_all().await.concat() {
        *codes.entry(code).or_default() += 1;
    }
    println!("{codes:?}");
    // The requests have produced every code but `not_ready`.
    assert!(
        codes.len() == 13 && codes.values().all(|count| *count >= REQUESTS / 200),
        "{codes:?}"
    );
}

/// Sends each request, also explains it, and returns the codes.
async fn compare(gateway: Arc<Gateway>, requests: Vec<TrialRequest>) -> Vec<String> {
    let mut connection = Connection::to(gateway.envoy.gateway());
    let mut codes = Vec::new();
    for trial in requests {
        let headers: Vec<_> = trial
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = connection
            .send(&request(trial.method, &trial.path, &headers))
            .await
            .unwrap();
        let reported = gateway
            .control_plane
            .call(Method::POST, "/v1/explain", trial.question.clone())
            .await;
        let reported = reported.unwrap_or_else(|error| panic!("{trial:?}: {error:#}"));
        let code = code(&answer);
        assert_eq!(
            reported["code"], code,
            "{trial:?}: {} {reported}",
            answer.body
        );
        assert_eq!(
            reported["passes"],
            answer.status == 200,
            "{trial:?}: {reported}"
        );
        codes.push(code.to_owned());
    }
    codes
}
