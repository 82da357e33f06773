//! Refusals as gRPC clients see them.

use latchkey_protocol::snapshots_client::SnapshotsClient;
use latchkey_tests::Gateway;
use serde_json::json;
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;

/// Calls a gRPC service of this workspace through the gateway, and returns the status.
async fn call(gateway: &Gateway, key: Option<&str>) -> tonic::Status {
    let channel = Channel::from_shared(gateway.envoy.url(""))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut request = tonic::Request::new(tokio_stream::empty());
    if let Some(key) = key {
        request
            .metadata_mut()
            .insert("x-api-key", key.parse().unwrap());
    }
    match SnapshotsClient::new(channel).sync(request).await {
        Ok(mut response) => response.get_mut().message().await.expect_err("a message"),
        Err(status) => status,
    }
}

/// A limit that is used up is not reported as an outage.
#[tokio::test]
async fn grpc_refusals_are_statuses() {
    let gateway = Gateway::start().await;
    let create = async |key| gateway.control_plane.create_key(key).await.unwrap().api_key;
    let limited = create(json!({ "name": "limited", "limits": { "minute": 1 } })).await;
    assert_eq!(gateway.ask("/", Some(&limited)).await.status, 200);
    let elsewhere = create(json!({ "name": "elsewhere", "allowed_ips": ["192.0.2.1"] })).await;
    let refused = call(&gateway, Some(&limited)).await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.metadata().contains_key("retry-after"),
        "{refused:?}"
    );
    assert_eq!(call(&gateway, None).await.code(), Code::Unauthenticated);
    assert_eq!(
        call(&gateway, Some(&crate::unknown_key())).await.code(),
        Code::Unauthenticated
    );
    assert_eq!(
        call(&gateway, Some(&elsewhere)).await.code(),
        Code::PermissionDenied
    );

    let empty = Gateway::builder().without_control_plane().start().await;
    assert_eq!(call(&empty, Some(&limited)).await.code(), Code::Unavailable);
}

/// Returns the HTTP status and the gRPC status of a request without a key.
async fn refused(gateway: &Gateway, content_type: &'static str) -> (u16, Option<String>) {
    let stream = TcpStream::connect(gateway.envoy.gateway()).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = axum::http::Request::post("http://gateway/").header("content-type", content_type);
    let (response, _) = client
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let response = response.await.unwrap();
    let status = response
        .headers()
        .get("grpc-status")
        .map(|status| status.to_str().unwrap().to_owned());
    (response.status().as_u16(), status)
}

#[tokio::test]
async fn every_grpc_content_type_gets_status() {
    let gateway = Gateway::start().await;
    for grpc in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc+json",
        "application/grpc;charset=utf-8",
    ] {
        assert_eq!(
            refused(&gateway, grpc).await,
            (200, Some("16".to_owned())),
            "{grpc}"
        );
    }
    for other in [
        "application/grpc-web",
        "application/json",
        "application/grpcs",
    ] {
        assert_eq!(refused(&gateway, other).await, (401, None), "{other}");
    }
}
