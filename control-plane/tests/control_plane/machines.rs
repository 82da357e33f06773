//! Tests requests by machines: health, metrics, and unknown paths.

use crate::harness::{Answer, Plane};
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn control_plane_is_alive_and_ready() {
    let plane = Plane::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            Answer::to(plane.request(Method::GET, path)).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn control_plane_is_unready_without_its_store() {
    let plane = Plane::start().await;
    sqlx::query("ALTER TABLE meta RENAME TO hidden")
        .execute(&plane.pool().await)
        .await
        .unwrap();
    let answer = Answer::to(plane.request(Method::GET, "/readyz")).await;
    answer.refused(503, "not_ready");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(
        Answer::to(plane.request(Method::GET, "/healthz"))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn failure_reveals_no_details() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    sqlx::query("ALTER TABLE keys RENAME TO hidden")
        .execute(&plane.pool().await)
        .await
        .unwrap();
    let answer = client.get("/v1/keys").await;
    answer.refused(500, "internal");
    assert!(!answer.body.to_string().contains("keys"), "{answer:?}");
}

#[tokio::test]
async fn unknown_paths_are_refused_alike() {
    let plane = Plane::start().await;
    for path in ["/", "/v1", "/v1/keys/", "/v2/keys", "/v1/keys/a/b"] {
        Answer::to(plane.request(Method::GET, path))
            .await
            .refused(404, "not_found");
    }
    for (method, path) in [
        (Method::PUT, "/v1/keys"),
        (Method::GET, "/v1/sessions"),
        (Method::PUT, "/v1/keys/x"),
    ] {
        let answer = Answer::to(plane.request(method, path)).await;
        answer.refused(405, "method_not_allowed");
        assert!(answer.headers.contains_key("allow"), "{answer:?}");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let plane = Plane::start().await;
    let id = async |given: &str| {
        let request = plane
            .request(Method::GET, "/healthz")
            .header("x-request-id", given);
        request.send().await.unwrap().headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(id("from-the-client-1.2").await, "from-the-client-1.2");
    for harmful in [
        "",
        "a b",
        "lk_live_0",
        "lks_0",
        "\"quoted\"",
        &"x".repeat(65),
    ] {
        let made = id(harmful).await;
        assert!(made.len() == 20 && made != harmful, "{made}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.get("/v1/keys/one").await;
    client.get("/v1/keys/two").await;
    let metric =
        r#"latchkey_http_requests_total{route="/v1/keys/{key_id}",method="GET",status="404"}"#;
    assert!((plane.metric(metric).await - 2.0).abs() < f64::EPSILON);
    assert!((plane.metric("latchkey_revision").await - 1.0).abs() < f64::EPSILON);
    assert!(plane.metric("latchkey_nodes_connected").await.abs() < f64::EPSILON);
}
