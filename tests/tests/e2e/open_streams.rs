//! Streams that are open when their secret ends: each kind, and each way in which a secret ends.

mod stream;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::http::Response;
use latchkey_tests::{CgiUpstream, CreatedKey, Gateway, eventually};
use reqwest::Method;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use self::stream::{Kind, Open};
use crate::clock::now;

type Bytes = axum::body::Bytes;

/// The time in which a stream must end. The promise is a second, but the machine is busy.
const RESET: Duration = Duration::from_secs(6);

const ANSWER: Duration = Duration::from_secs(10);

/// Starts a gateway with an HTTP/2 upstream that echoes for gRPC, else with a CGI upstream.
async fn gateway(kind: Kind, end_streams: &'static str) -> Gateway {
    let (port, http2) = match kind {
        Kind::Grpc => (echo_upstream().await, true),
        _ => (CgiUpstream::start().await.unwrap().port(), false),
    };
    let gateway = Gateway::builder().envoy(move |envoy| {
        (envoy.upstream_port, envoy.http2_upstream) = (port, http2);
        envoy.upgrades = vec!["websocket", "CONNECT"];
        envoy.configuration = json!({ "end_streams": end_streams });
    });
    gateway.start().await
}

/// Starts an upstream that echoes each body as it arrives.
async fn echo_upstream() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let mut send = respond.send_response(Response::new(()), false).unwrap();
                        while let Some(Ok(data)) = body.data().await {
                            let _ = body.flow_control().release_capacity(data.len());
                            if send.send_data(data, false).is_err() {
                                return;
                            }
                        }
                        let _ = send.send_data(Bytes::new(), true);
                    });
                }
            });
        }
    });
    port
}

async fn create(gateway: &Gateway, name: &str) -> CreatedKey {
    gateway
        .control_plane
        .create_key(json!({ "name": name, "limits": { "minute": u32::MAX } }))
        .await
        .unwrap()
}

/// Creates a key in a new account, and returns both.
async fn create_in_account(gateway: &Gateway) -> (CreatedKey, String) {
    let admin = json!({ "email": "admin@other.test", "password": "a password of an account" });
    let account = json!({ "name": "Other", "tier": "basic", "admin": admin });
    let account = gateway
        .control_plane
        .call(Method::POST, "/v1/accounts", account)
        .await
        .unwrap();
    let post = async |path: &str, token: &str, body: serde_json::Value| {
        let request = gateway
            .client
            .post(gateway.control_plane.url(path))
            .bearer_auth(token)
            .json(&body);
        request
            .send()
            .await
            .unwrap()
            .json::<serde_json::Value>()
            .await
            .unwrap()["data"]
            .take()
    };
    let session = post("/v1/sessions", "", admin).await;
    let key = post(
        "/v1/keys/generate",
        session["token"].as_str().unwrap(),
        json!({ "name": "CI" }),
    )
    .await;
    (
        serde_json::from_value(key).unwrap(),
        account["account_id"].as_str().unwrap().to_owned(),
    )
}

/// Ends streams one after the other, each with a separate key, in every way in which a secret ends.
async fn every_end_resets(kind: Kind) {
    let gateway = gateway(kind, "upgrades").await;
    let control_plane = &gateway.control_plane;
    let change = async |method: Method, path: String, body| {
        let enforcement = control_plane.change(method, &path, body).await.unwrap();
        assert_eq!(enforcement.acknowledged, 1);
    };
    let key_path = |key: &CreatedKey| format!("/v1/keys/{}", key.key_id);
    let other = create(&gateway, "other").await;
    let mut bystander = Open::new(&gateway, kind, &other.api_key).await;

    let key = create(&gateway, "revoked").await;
    let mut open = Open::new(&gateway, kind, &key.api_key).await;
    change(Method::DELETE, key_path(&key), json!({})).await;
    open.end().await;

    for (name, edit) in [
        ("disabled", json!({ "active": false })),
        ("denied", json!({ "denied_ips": ["127.0.0.0/8"] })),
        ("not allowed", json!({ "allowed_ips": ["192.0.2.1"] })),
        ("expires", json!({})),
    ] {
        let key = create(&gateway, name).await;
        let mut open = Open::new(&gateway, kind, &key.api_key).await;
        if name == "expires" {
            change(
                Method::PATCH,
                key_path(&key),
                json!({ "expires_at": now() + 3 }),
            )
            .await;
            open.assert_alive().await;
        } else {
            change(Method::PATCH, key_path(&key), edit).await;
        }
        open.end().await;
    }

    let user = json!({ "email": "owner@example.com", "roles": ["admin"] });
    let user = control_plane.create_user(user).await.unwrap();
    let key = control_plane
        .create_key_of(&user, json!({ "name": "owner's" }))
        .await
        .unwrap();
    let mut open = Open::new(&gateway, kind, &key.api_key).await;
    change(
        Method::PATCH,
        format!("/v1/users/{}", user.user_id),
        json!({ "disabled": true }),
    )
    .await;
    open.end().await;

    let (key, account) = create_in_account(&gateway).await;
    let mut open = Open::new(&gateway, kind, &key.api_key).await;
    change(
        Method::PATCH,
        format!("/v1/accounts/{account}"),
        json!({ "disabled": true }),
    )
    .await;
    open.end().await;

    for overlap in [0, 2] {
        let key = create(&gateway, &format!("regenerated {overlap}")).await;
        let mut open = Open::new(&gateway, kind, &key.api_key).await;
        let new = control_plane
            .regenerate(&key.key_id, overlap)
            .await
            .unwrap()
            .api_key;
        let mut with_new = Open::new(&gateway, kind, &new).await;
        open.end().await;
        with_new.assert_alive().await;
    }

    bystander.assert_alive().await;
    assert_eq!(
        gateway
            .envoy
            .stat("wasmcustom.latchkey_streams_ended")
            .await
            .unwrap(),
        9
    );
    assert_eq!(
        gateway.ask("/", None).await.code(),
        "missing_key",
        "Envoy lives"
    );
    let logged = eventually(Duration::from_secs(5), async || {
        let ended = gateway
            .envoy
            .access_log()
            .iter()
            .filter(|line| line["ended"].is_string())
            .count();
        ensure!(ended == 9, "{ended} in the access log");
        Ok(())
    });
    logged.await.unwrap();
}

#[tokio::test]
async fn a_websocket_ends_with_its_secret() {
    every_end_resets(Kind::WebSocket).await;
}

#[tokio::test]
async fn connect_tunnel_ends_with_its_secret() {
    every_end_resets(Kind::Connect).await;
}

#[tokio::test]
async fn websocket_over_http2_ends_with_its_secret() {
    every_end_resets(Kind::ExtendedConnect).await;
}

#[tokio::test]
async fn grpc_stream_ends_with_its_secret() {
    every_end_resets(Kind::Grpc).await;
}

#[tokio::test]
async fn streams_stay_open_when_configured() {
    let gateway = gateway(Kind::WebSocket, "off").await;
    let key = create(&gateway, "CI").await;
    let mut open = Open::new(&gateway, Kind::WebSocket, &key.api_key).await;
    gateway.control_plane.revoke(&key.key_id).await.unwrap();
    assert!(
        timeout(Duration::from_secs(2), open.read()).await.is_err(),
        "the stream ended"
    );
    open.assert_alive().await;
}

/// The value `all` ends any request that has lasted for 30 s with its secret, and no younger one.
#[tokio::test]
async fn tracked_request_ends_with_its_secret() {
    const TRACKED_AFTER: Duration = Duration::from_secs(30);
    let (tracking, lax) = (
        gateway(Kind::Grpc, "all").await,
        gateway(Kind::Grpc, "upgrades").await,
    );
    let mut open = Vec::new();
    for gateway in [&tracking, &lax] {
        let key = create(gateway, "CI").await;
        let kept = create(gateway, "kept").await;
        for api_key in [&key.api_key, &kept.api_key] {
            open.push(Open::upload(gateway, api_key).await);
        }
        gateway.control_plane.revoke(&key.key_id).await.unwrap();
    }
    let began = Instant::now();
    let [ended, kept, untracked, untracked_kept] = &mut open[..] else {
        panic!()
    };
    ended.assert_alive().await;
    timeout(TRACKED_AFTER + RESET, ended.end_whenever())
        .await
        .unwrap();
    let took = began.elapsed();
    assert!(
        took > TRACKED_AFTER - Duration::from_secs(3),
        "a young request was reset, after {took:?}"
    );
    for open in [kept, untracked, untracked_kept] {
        open.assert_alive().await;
    }
}

/// Opens many streams of one key, on one connection and on many, while other requests continue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_streams_end_under_load() {
    for kind in [Kind::Grpc, Kind::WebSocket] {
        let gateway = gateway(kind, "all").await;
        let other = create(&gateway, "other").await;
        for round in 0..3 {
            let key = create(&gateway, &format!("round {round}")).await;
            let mut streams = Vec::new();
            if kind == Kind::Grpc {
                for _ in 0..4 {
                    let stream = TcpStream::connect(gateway.envoy.gateway()).await.unwrap();
                    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
                    tokio::spawn(connection);
                    for _ in 0..90 {
                        streams.push(Open::on(&mut client, kind, &key.api_key).await);
                    }
                }
            } else {
                for _ in 0..200 {
                    streams.push(Open::new(&gateway, kind, &key.api_key).await);
                }
            }
            let load = async {
                for _ in 0..300 {
                    gateway.ask("/", None).await;
                }
            };
            let end = async {
                gateway.control_plane.revoke(&key.key_id).await.unwrap();
                for stream in &mut streams {
                    stream.end().await;
                }
            };
            tokio::join!(load, end);
            Open::new(&gateway, kind, &other.api_key)
                .await
                .assert_alive()
                .await;
        }
    }
}
