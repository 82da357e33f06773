//! The health path, as a readiness probe calls it.

use std::time::Duration;

use anyhow::ensure;
use latchkey_tests::{Answer, Gateway, eventually};
use reqwest::Method;
use serde_json::json;

const PATH: &str = "/latchkey/ready";

async fn probe(gateway: &Gateway, method: Method, path: &str) -> Answer {
    Answer::read(
        gateway
            .client
            .request(method, gateway.envoy.url(path))
            .send()
            .await
            .unwrap(),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn health_path_reports_readiness() {
    let configuration = json!({ "health_path": PATH, "max_staleness_seconds": 2 });
    let gateway = Gateway::builder().without_control_plane();
    let mut gateway = gateway
        .envoy(move |envoy| envoy.configuration = configuration)
        .start()
        .await;
    let answer = probe(&gateway, Method::GET, PATH).await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "not_ready"),
        "{}",
        answer.body
    );
    assert_eq!(answer.body["revision"], json!(null));

    gateway.control_plane.start().await.unwrap();
    gateway.ready().await.unwrap();
    // A rule would neither make it public nor require more.
    let rules = json!({ "rules": [{ "path": { "prefix": "/latchkey" }, "permission": "a:b" }], "unmatched": "deny" });
    gateway.control_plane.put_routes(rules).await.unwrap();
    let ready = eventually(Duration::from_secs(5), async || {
        let answer = probe(&gateway, Method::GET, "/latchkey/ready?verbose=1").await;
        ensure!(
            answer.status == 200 && answer.body["revision"].as_u64().is_some_and(|at| at > 1),
            "{}",
            answer.body
        );
        ensure!(
            answer.body["age_seconds"]
                .as_u64()
                .is_some_and(|age| age <= 2),
            "{}",
            answer.body
        );
        Ok(())
    });
    ready.await.unwrap();
    assert_eq!(probe(&gateway, Method::HEAD, PATH).await.status, 200);
    assert_eq!(probe(&gateway, Method::POST, PATH).await.status, 401);
    assert_eq!(
        probe(&gateway, Method::GET, "/latchkey/ready/")
            .await
            .status,
        401
    );
    assert_eq!(gateway.upstream.requests(), 0, "the upstream got a probe");

    gateway.control_plane.stop().await.unwrap();
    let stale = eventually(Duration::from_secs(10), async || {
        let answer = probe(&gateway, Method::GET, PATH).await;
        ensure!(answer.status == 503, "{}", answer.body);
        ensure!(
            answer.body["age_seconds"]
                .as_u64()
                .is_some_and(|age| age >= 2),
            "{}",
            answer.body
        );
        Ok(())
    });
    stale.await.unwrap();
    assert_eq!(gateway.ask("/", None).await.code(), "not_ready");
}
