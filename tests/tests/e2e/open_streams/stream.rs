//! An open stream of each kind, through the gateway to an upstream that echoes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::http::{Method as HttpMethod, Request};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use latchkey_tests::{Gateway, eventually, request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ANSWER, Bytes, RESET};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    WebSocket,
    Connect,
    ExtendedConnect,
    Grpc,
}

/// A stream through the gateway to an upstream that echoes.
pub(super) enum Open {
    Http1(TcpStream),
    Http2(SendStream<Bytes>, RecvStream),
}

impl Open {
    pub(super) async fn new(gateway: &Gateway, kind: Kind, key: &str) -> Self {
        let address = gateway.envoy.gateway();
        let own = ("x-api-key", key);
        let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
        let mut open = match kind {
            Kind::WebSocket => {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let headers = [&[own][..], &upgrade].concat();
                stream
                    .write_all(&request("GET", "/", &headers))
                    .await
                    .unwrap();
                Self::Http1(stream)
            }
            Kind::Connect => {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let connect = request("CONNECT", "gateway:80", &[("host", "gateway:80"), own]);
                stream.write_all(&connect).await.unwrap();
                let mut open = Self::Http1(stream);
                open.read_until("200 OK").await;
                // Envoy does not read the content of the tunnel.
                open.write(&request("GET", "/", &upgrade)).await;
                open
            }
            Kind::ExtendedConnect | Kind::Grpc => {
                let (mut client, connection) =
                    h2::client::handshake(TcpStream::connect(address).await.unwrap())
                        .await
                        .unwrap();
                tokio::spawn(connection);
                if kind == Kind::ExtendedConnect {
                    let settings = async || {
                        client.clone().ready().await?;
                        ensure!(
                            client.is_extended_connect_protocol_enabled(),
                            "no extended CONNECT"
                        );
                        Ok(())
                    };
                    eventually(ANSWER, settings).await.unwrap();
                }
                Self::on(&mut client, kind, key).await
            }
        };
        open.read_until(if kind == Kind::Grpc { "" } else { "}\n" })
            .await;
        open.assert_alive().await;
        open
    }

    /// Opens a stream on an existing connection.
    pub(super) async fn on(client: &mut SendRequest<Bytes>, kind: Kind, key: &str) -> Self {
        let mut request = Request::builder()
            .uri("http://gateway/")
            .header("x-api-key", key);
        if kind == Kind::Grpc {
            request = request
                .method(HttpMethod::POST)
                .header("content-type", "application/grpc+proto");
        } else {
            request = request
                .method(HttpMethod::CONNECT)
                .extension(Protocol::from_static("websocket"));
        }
        let (response, send) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        let response = timeout(ANSWER, response).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        Self::Http2(send, response.into_body())
    }

    /// Opens a request that is neither an upgrade nor gRPC, whose body does not end.
    pub(super) async fn upload(gateway: &Gateway, key: &str) -> Self {
        let stream = TcpStream::connect(gateway.envoy.gateway()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://gateway/")
            .header("x-api-key", key)
            .body(())
            .unwrap();
        let (response, send) = client.send_request(request, false).unwrap();
        let response = timeout(ANSWER, response).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        let mut open = Self::Http2(send, response.into_body());
        open.assert_alive().await;
        open
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Http1(stream) => stream.write_all(bytes).await.unwrap(),
            Self::Http2(send, _) => send
                .send_data(Bytes::copy_from_slice(bytes), false)
                .unwrap(),
        }
    }

    /// Returns the next bytes; none at the end, or when the stream was reset.
    pub(super) async fn read(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Http1(stream) => {
                let mut bytes = vec![0; 4096];
                let read = stream
                    .read(&mut bytes)
                    .await
                    .ok()
                    .filter(|read| *read > 0)?;
                bytes.truncate(read);
                Some(bytes)
            }
            Self::Http2(_, receive) => {
                let data = receive.data().await?.ok()?;
                receive.flow_control().release_capacity(data.len()).ok()?;
                Some(data.to_vec())
            }
        }
    }

    pub(super) async fn read_until(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.contains(text) {
            let more = timeout(ANSWER, self.read())
                .await
                .unwrap()
                .unwrap_or_else(|| panic!("no {text:?}: {seen}"));
            seen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    pub(super) async fn assert_alive(&mut self) {
        self.write(b"ping").await;
        self.read_until("ping").await;
    }

    /// Returns the time until the stream ends.
    pub(super) async fn end(&mut self) -> Duration {
        let began = Instant::now();
        timeout(RESET, self.end_whenever())
            .await
            .unwrap_or_else(|_| panic!("still open after {RESET:?}"));
        began.elapsed()
    }

    /// Resolves once the stream ends.
    pub(super) async fn end_whenever(&mut self) {
        while self.read().await.is_some() {}
    }
}
