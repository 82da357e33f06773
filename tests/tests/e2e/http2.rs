//! Authentication where both sides speak HTTP/2, which lets a client send trailers.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use latchkey_tests::Gateway;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

type Fields<'a> = [(&'static str, &'a str)];

/// A request as it reached the upstream.
struct Arrival {
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

/// Starts a gateway whose upstream only speaks HTTP/2. Returns it with the requests that reach that
/// upstream.
async fn start() -> (Gateway, UnboundedReceiver<Arrival>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (arrivals, arrived) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, arrivals.clone()));
        }
    });
    let http2 = Gateway::builder().envoy(move |envoy| {
        envoy.upstream_port = port;
        envoy.http2_upstream = true;
    });
    (http2.start().await, arrived)
}

/// Answers each request with 200 once it has arrived whole.
async fn serve(stream: TcpStream, arrivals: UnboundedSender<Arrival>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let arrivals = arrivals.clone();
        tokio::spawn(async move {
            let (head, body) = request.into_parts();
            let (body, trailers) = read(body).await;
            arrivals
                .send(Arrival {
                    headers: head.headers,
                    body,
                    trailers,
                })
                .unwrap();
            respond.send_response(Response::new(()), true).unwrap();
        });
    }
}

async fn read(mut stream: h2::RecvStream) -> (Vec<u8>, HeaderMap) {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        body.extend_from_slice(&data.unwrap());
    }
    (body, stream.trailers().await.unwrap().unwrap_or_default())
}

/// Sends one request over a new connection. Returns the answer's status, and the code in its error
/// body.
async fn send(
    gateway: &Gateway,
    headers: &Fields<'_>,
    body: &'static str,
    trailers: &Fields<'_>,
) -> (u16, String) {
    let exchange = async {
        let stream = TcpStream::connect(gateway.envoy.gateway()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::post("http://gateway/").body(()).unwrap();
        *request.headers_mut() = header_map(headers);
        let bare = body.is_empty() && trailers.is_empty();
        let (response, mut rest) = client.send_request(request, bare).unwrap();
        if !body.is_empty() {
            rest.send_data(body.into(), trailers.is_empty()).unwrap();
        }
        if !trailers.is_empty() {
            rest.send_trailers(header_map(trailers)).unwrap();
        }
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        let body: Value =
            serde_json::from_slice(&read(response.into_body()).await.0).unwrap_or_default();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    timeout(Duration::from_secs(10), exchange)
        .await
        .expect("an answer within 10 s")
}

/// Returns a header map in which fields of the same name stay separate.
fn header_map(fields: &Fields<'_>) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    fields.iter().map(field).collect()
}

/// No key, or two, are refused.
#[tokio::test]
async fn one_key_is_admitted_over_http2() {
    let (gateway, mut arrived) = start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "one" }))
        .await
        .unwrap();
    let other = gateway
        .control_plane
        .create_key(json!({ "name": "two" }))
        .await
        .unwrap();

    let (status, code) = send(
        &gateway,
        &[("x-api-key", &key.api_key), ("x-other", "stays")],
        "",
        &[],
    )
    .await;
    assert_eq!((status, code.as_str()), (200, ""));
    let arrival = arrived.try_recv().unwrap();
    assert_eq!(arrival.headers.get("x-api-key"), None);
    assert_eq!(arrival.headers["x-other"], "stays");
    let identity = arrival.headers["x-latchkey-identity"].to_str().unwrap();
    assert!(
        identity.starts_with(&format!("key=\"{}\", name=\"one\", account=\"", key.key_id)),
        "{identity}"
    );

    let (status, code) = send(&gateway, &[], "", &[]).await;
    assert_eq!((status, code.as_str()), (401, "missing_key"));
    let two = [
        ("x-api-key", key.api_key.as_str()),
        ("x-api-key", &other.api_key),
    ];
    let (status, code) = send(&gateway, &two, "", &[]).await;
    assert_eq!((status, code.as_str()), (401, "ambiguous_key"));
    assert!(
        arrived.try_recv().is_err(),
        "a refused request reached the upstream"
    );
}

#[tokio::test]
async fn trailers_lose_keys_and_identities() {
    let (gateway, mut arrived) = start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "one" }))
        .await
        .unwrap();
    let bearer = format!("Bearer {}", key.api_key);
    let trailers = [
        ("x-api-key", key.api_key.as_str()),
        ("x-checksum", "stays"),
        ("authorization", &bearer),
        ("x-latchkey-identity", "key=\"key_forged\""),
        ("x-latchkey-identity", "user=\"root\""),
    ];
    for body in ["", "a body before the trailers"] {
        let (status, code) = send(&gateway, &[("x-api-key", &key.api_key)], body, &trailers).await;
        assert_eq!((status, code.as_str()), (200, ""), "{body:?}");
        let arrival = arrived.try_recv().unwrap();
        assert_eq!(arrival.body, body.as_bytes());
        assert_eq!(
            arrival.trailers,
            header_map(&[("x-checksum", "stays")]),
            "{body:?}"
        );
        let identities: Vec<_> = arrival
            .headers
            .get_all("x-latchkey-identity")
            .iter()
            .collect();
        let [identity] = identities.as_slice() else {
            panic!("{identities:?}")
        };
        assert!(
            identity
                .to_str()
                .unwrap()
                .starts_with(&format!("key=\"{}\"", key.key_id)),
            "{identity:?}"
        );
    }

    // A key that is only in the trailers does not count.
    let (status, code) = send(&gateway, &[], "", &trailers).await;
    assert_eq!((status, code.as_str()), (401, "missing_key"));
    assert!(
        arrived.try_recv().is_err(),
        "a refused request reached the upstream"
    );
}
