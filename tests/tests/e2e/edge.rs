//! The settings of the shipped configuration for an Envoy to which clients connect directly.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::http::Request;
use latchkey_tests::{Answer, CreatedKey, Gateway, GatewayBuilder, http_client};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

const ORIGIN: &str = "https://app.example.com";

fn replacing(shipped: &'static str, other: &'static str) -> GatewayBuilder {
    Gateway::builder().envoy(move |envoy| envoy.replacements.push((shipped, other)))
}

async fn key(gateway: &Gateway, per_minute: u32) -> CreatedKey {
    let key = json!({ "name": "CI", "limits": { "minute": per_minute } });
    gateway.control_plane.create_key(key).await.unwrap()
}

/// Sends the preflight of a browser's request with a key.
async fn preflight(gateway: &Gateway, origin: &str) -> (u16, HeaderMap) {
    let request = http_client().request(Method::OPTIONS, gateway.envoy.url("/"));
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", "GET");
    let answer = request
        .header("access-control-request-headers", "x-api-key")
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.headers().clone())
}

#[tokio::test]
async fn browsers_get_preflights_and_read_refusals() {
    let origins = "allow_origin_string_match: [{ exact: https://app.example.com }]";
    let gateway = replacing("allow_origin_string_match: []", origins)
        .start()
        .await;
    let key = key(&gateway, 1).await;

    let (status, headers) = preflight(&gateway, ORIGIN).await;
    assert_eq!(
        (status, &headers["access-control-allow-origin"]),
        (200, &ORIGIN.parse().unwrap())
    );
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    assert!(
        allowed.contains("x-api-key") && allowed.contains("authorization"),
        "{allowed}"
    );
    assert_eq!(
        gateway.upstream.requests(),
        0,
        "the upstream got a preflight"
    );
    assert_eq!(
        preflight(&gateway, "https://evil.example").await.0,
        401,
        "the preflight of another origin"
    );

    let exposed = [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "retry-after",
        "ratelimit",
    ];
    for (api_key, status) in [
        (Some(&key.api_key), 200),
        (Some(&key.api_key), 429),
        (None, 401),
    ] {
        let mut headers = vec![("origin", ORIGIN)];
        headers.extend(api_key.map(|key| ("x-api-key", key.as_str())));
        let answer = gateway.ask_with("/", &headers).await;
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.headers["access-control-allow-origin"], ORIGIN,
            "{status}"
        );
        let readable = answer.headers["access-control-expose-headers"]
            .to_str()
            .unwrap();
        assert!(
            exposed.iter().all(|name| readable.contains(name)),
            "{status}: {readable}"
        );
    }
}

#[tokio::test]
async fn without_origins_cors_changes_nothing() {
    let gateway = Gateway::start().await;
    let key = key(&gateway, 100).await;
    assert_eq!(preflight(&gateway, ORIGIN).await.0, 401);
    let answer = gateway
        .ask_with("/", &[("origin", ORIGIN), ("x-api-key", &key.api_key)])
        .await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("access-control")),
        "{:?}",
        answer.headers
    );
}

#[tokio::test]
async fn headers_with_underscores_are_dropped() {
    let gateway = Gateway::start().await;
    let key = key(&gateway, 100).await;
    let headers = [
        ("x-idcrl_accepted", "t"),
        ("x_latchkey_identity", "forged"),
        ("x-api-key", key.api_key.as_str()),
    ];
    let over_http1 = gateway.ask_with("/", &headers).await;
    let over_http2 = ask_over_http2(&gateway, &headers).await;
    for (protocol, answer) in [("HTTP/1.1", over_http1), ("HTTP/2", over_http2)] {
        assert_eq!(answer.status, 200, "{protocol}");
        assert_eq!(
            answer.reached_upstream("x-idcrl_accepted"),
            None,
            "{protocol}"
        );
        assert_eq!(
            answer.reached_upstream("x_latchkey_identity"),
            None,
            "{protocol}"
        );
        assert!(
            answer
                .reached_upstream("x-latchkey-identity")
                .unwrap()
                .contains(&key.key_id),
            "{protocol}"
        );
    }
}

async fn ask_over_http2(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    let (mut client, _) = http2(gateway.envoy.gateway()).await;
    let mut request = Request::get("http://gateway/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, _) = client
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let (head, mut stream) = timeout(PATIENCE, response)
        .await
        .unwrap()
        .unwrap()
        .into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        body.extend_from_slice(&data.unwrap());
    }
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap(),
    }
}

/// Opens an HTTP/2 client that has received Envoy's settings. Returns it with the number of
/// requests that these let it have open at a time.
async fn http2(gateway: SocketAddr) -> (h2::client::SendRequest<axum::body::Bytes>, usize) {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut client, mut connection) = h2::client::handshake(stream).await.unwrap();
    // A ping is answered after the settings.
    let mut ping = connection.ping_pong().unwrap();
    let (reported, settings) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let pinged = ping.ping(h2::Ping::opaque());
        tokio::pin!(pinged);
        std::future::poll_fn(|context| {
            let _ = Future::poll(std::pin::Pin::new(&mut connection), context);
            pinged.as_mut().poll(context)
        })
        .await
        .unwrap();
        let _ = reported.send(connection.max_concurrent_send_streams());
        let _ = connection.await;
    });
    let streams = timeout(PATIENCE, settings).await.unwrap().unwrap();
    client = client.ready().await.unwrap();
    (client, streams)
}

#[tokio::test]
async fn connection_has_a_hundred_concurrent_requests() {
    let gateway = Gateway::start().await;
    assert_eq!(http2(gateway.envoy.gateway()).await.1, 100);
}

/// Sends `bytes`, and reads until the answer's headers are complete or the connection ends.
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut part))
            .await
            .expect("an answer")
            .unwrap();
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&part[..read]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn keyless_upload_is_refused_early() {
    let gateway = Gateway::start().await;
    let key = key(&gateway, 100).await.api_key;
    let upload = |header: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: gateway\r\ncontent-length: 10\r\nexpect: 100-continue\r\n{header}\r\n"
        )
    };
    let mut stream = TcpStream::connect(gateway.envoy.gateway()).await.unwrap();
    let answer = exchange(&mut stream, upload("").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(gateway.upstream.requests(), 0);

    let mut stream = TcpStream::connect(gateway.envoy.gateway()).await.unwrap();
    let with_key = upload(&format!("x-api-key: {key}\r\n"));
    stream.write_all(with_key.as_bytes()).await.unwrap();
    let answer = exchange(&mut stream, b"0123456789").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 100 "),
        "{answer}"
    );
}

#[tokio::test]
async fn half_sent_headers_release_their_connection() {
    let shorter = replacing(
        "request_headers_timeout: 10s",
        "request_headers_timeout: 1s",
    );
    let gateway = shorter.start().await;
    let mut stream = TcpStream::connect(gateway.envoy.gateway()).await.unwrap();
    let sent = Instant::now();
    let answer = exchange(&mut stream, b"GET / HTTP/1.1\r\nhost: gateway\r\nx-api-").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
        "{answer}"
    );
    assert!(
        sent.elapsed() >= Duration::from_millis(900),
        "ended after {:?}",
        sent.elapsed()
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let few = replacing(
        "max_active_downstream_connections: 50000",
        "max_active_downstream_connections: 3",
    );
    let gateway = few.start().await;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..6 {
        let mut stream = TcpStream::connect(gateway.envoy.gateway()).await.unwrap();
        let wrote = stream
            .write_all(b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n")
            .await;
        let read = timeout(PATIENCE, stream.read(&mut [0; 16]))
            .await
            .expect("an answer or an end");
        if wrote.is_err() || matches!(read, Ok(0) | Err(_)) {
            refused += 1;
        }
        open.push(stream);
    }
    // The test's own client may hold one of the connections.
    assert!((3..=4).contains(&refused), "{refused} of 6 were refused");
}
