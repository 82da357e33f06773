//! A filter that Envoy skips, for any reason, admits nothing.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_tests::{
    Answer, FailurePolicy, Gateway, GatewayBuilder, eventually, faulty_filter, http_client,
};
use serde_json::json;

const POLICIES: [FailurePolicy; 2] = [FailurePolicy::FailClosed, FailurePolicy::FailReload];

/// A limit longer than Envoy's pause before it creates a new VM, which is a second by default.
const RELOADED: Duration = Duration::from_secs(15);

/// The number of connections; enough that every worker gets some.
const CONNECTIONS: usize = 40;

fn faulty(policy: FailurePolicy, fault: serde_json::Value) -> GatewayBuilder {
    Gateway::builder()
        .filter(faulty_filter().unwrap())
        .envoy(move |envoy| {
            envoy.failure_policy = policy;
            envoy.configuration = json!({ "fault": fault });
        })
        .without_waiting()
}

/// Sends requests without a valid key, each on a new connection. None may get 200 from any worker.
async fn assert_admits_nothing(gateway: &Gateway, when: &str) {
    let unknown = crate::unknown_key();
    for connection in 0..CONNECTIONS {
        let client = http_client();
        let mut request = client.get(gateway.envoy.url("/"));
        if connection % 2 == 0 {
            request = request.header("x-api-key", &unknown);
        }
        // A connection that Envoy closes admits nothing either.
        if let Ok(response) = request.send().await {
            let answer = Answer::read(response).await.unwrap();
            assert!(
                matches!(answer.status, 401 | 403 | 503),
                "{when}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    assert_eq!(gateway.upstream.requests(), 0, "{when}");
}

/// Envoy configures the filter in a canary first, then on the main thread and on each worker.
async fn a_filter_that_is_not_configured_admits_nothing(how: &str) {
    for policy in POLICIES {
        for call in 1..=4 {
            let when = format!("{policy:?}, call {call}, {how}");
            let fault = json!({ "configure_call": call, "configure_how": how });
            match faulty(policy, fault).try_start().await {
                Ok(gateway) => {
                    assert_ne!(call, 1, "{when}: a canary that fails stops the listener");
                    assert_admits_nothing(&gateway, &when).await;
                    // Checks again when the workers have had time to recover.
                    let _ = tokio::time::timeout(Duration::from_secs(3), gateway.ready()).await;
                    assert_admits_nothing(&gateway, &when).await;
                }
                Err(error) => assert_eq!(call, 1, "{when}: {error:#}"),
            }
        }
    }
}

/// The configuration of the filter fails on any one thread.
#[tokio::test]
async fn misconfigured_thread_admits_nothing() {
    a_filter_that_is_not_configured_admits_nothing("fail").await;
}

#[tokio::test]
async fn thread_trapping_on_configuration_admits_nothing() {
    a_filter_that_is_not_configured_admits_nothing("trap").await;
}

#[tokio::test]
async fn filter_trapping_on_a_request_admits_nothing() {
    for policy in POLICIES {
        let when = format!("{policy:?}");
        let gateway = faulty(policy, json!({ "request_header": "x-trap" }))
            .start()
            .await;
        gateway.ready().await.unwrap();
        let key = gateway
            .control_plane
            .create_key(json!({ "name": "CI" }))
            .await
            .unwrap();
        for _ in 0..CONNECTIONS {
            let client = http_client();
            let request = client
                .get(gateway.envoy.url("/"))
                .header("x-trap", "1")
                .header("x-api-key", &key.api_key);
            if let Ok(response) = request.send().await {
                assert_ne!(response.status(), 200, "{when}: the request that traps");
            }
            assert_eq!(gateway.upstream.requests(), 0, "{when}");
        }
        assert_admits_nothing(&gateway, &when).await;
    }
}

/// Sends the request that traps to the one worker.
async fn crashed(policy: FailurePolicy) -> (Gateway, String) {
    let gateway = faulty(policy, json!({ "request_header": "x-trap" }));
    let gateway = gateway.envoy(|envoy| envoy.concurrency = 1).start().await;
    gateway.ready().await.unwrap();
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap()
        .api_key;
    assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
    let request = http_client()
        .get(gateway.envoy.url("/"))
        .header("x-trap", "1")
        .header("x-api-key", &key);
    if let Ok(response) = request.send().await {
        assert_ne!(response.status(), 200, "the request that traps");
    }
    (gateway, key)
}

/// Returns the status of a request on a new connection; 0 if the connection was closed.
async fn status(gateway: &Gateway, key: &str) -> u16 {
    let request = http_client()
        .get(gateway.envoy.url("/"))
        .header("x-api-key", key);
    request
        .send()
        .await
        .map_or(0, |response| response.status().as_u16())
}

#[tokio::test]
async fn crashed_worker_admits_after_reload() {
    let (gateway, key) = crashed(FailurePolicy::FailReload).await;
    let began = Instant::now();
    let reloaded = eventually(RELOADED, async || {
        let status = status(&gateway, &key).await;
        ensure!(status == 200, "{status}");
        Ok(())
    });
    reloaded.await.unwrap();
    println!("it admitted again after {} ms", began.elapsed().as_millis());
    assert_eq!(
        status(&gateway, &crate::unknown_key()).await,
        401,
        "by its verdict"
    );
}

#[tokio::test]
async fn fail_closed_worker_refuses_until_restart() {
    let (gateway, key) = crashed(FailurePolicy::FailClosed).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert_ne!(status(&gateway, &key).await, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn broken_configuration_stops_the_listener_with_a_reason() {
    for (raw, reported) in [
        ("{}", "invalid configuration: control_plane: is required"),
        ("", "invalid configuration: configuration: is empty"),
        (
            r#"{"control_plane": {"cluster": "latchkey", "token": "t", "tokens": 1}, "key_prefix": "L"}"#,
            "invalid configuration: control_plane.tokens: is unknown",
        ),
    ] {
        let started = Gateway::builder()
            .envoy(move |envoy| envoy.raw_configuration = Some(raw.to_owned()))
            .without_waiting()
            .try_start()
            .await;
        let error = format!(
            "{:#}",
            started.err().unwrap_or_else(|| panic!("{raw} was taken"))
        );
        assert!(error.contains(reported), "{raw}: {error}");
    }
}
