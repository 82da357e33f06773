//! A receiver of webhooks, with a check of signatures that shares no code with ours.

use crate::node::PATIENCE;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::future;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time;

/// The reaction to a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Status(u16),
    Redirect(String),
    /// Never responds.
    Hang,
}

#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(super) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Panics unless the message was signed with only `secret`.
    pub(super) fn verify(&self, secret: &str) {
        self.verify_with(&[secret]);
    }

    /// Panics unless the message has a signature of each of `secrets`, and no other.
    pub(super) fn verify_with(&self, secrets: &[&str]) {
        let time = self.header("webhook-timestamp");
        let expected: Vec<_> = secrets
            .iter()
            .map(|secret| sign(secret, self.id(), time, &self.body))
            .collect();
        assert_eq!(
            self.header("webhook-signature")
                .split(' ')
                .collect::<Vec<_>>(),
            expected
        );
    }
}

struct Shared {
    reply: Mutex<Reply>,
    received: watch::Sender<Vec<Received>>,
}

pub(super) struct Receiver {
    pub(super) url: String,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Starts a receiver that accepts everything.
    pub(super) async fn start() -> Self {
        Self::answering(Reply::Status(204)).await
    }

    pub(super) async fn answering(reply: Reply) -> Self {
        let shared = Arc::new(Shared {
            reply: Mutex::new(reply),
            received: watch::Sender::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/hooks?from=latchkey",
            listener.local_addr().unwrap()
        );
        let router = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    pub(super) fn answer(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = reply;
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.shared.received.borrow().clone()
    }

    /// Waits until `count` messages have arrived, and returns all.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.shared.received.subscribe();
        let enough = time::timeout(
            PATIENCE,
            received.wait_for(|received| received.len() >= count),
        )
        .await;
        enough
            .unwrap_or_else(|_| panic!("not {count} but {:?}", self.received()))
            .unwrap()
            .clone()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let reply = shared.reply.lock().unwrap().clone();
    shared
        .received
        .send_modify(|all| all.push(Received { headers, body }));
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Redirect(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
        }
        Reply::Hang => future::pending().await,
    }
}

/// Computes HMAC as in RFC 2104, using only SHA-256.
fn sign(secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    let mut key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    assert!(
        (24..=64).contains(&key.len()),
        "the standard asks for 24 to 64 bytes"
    );
    key.resize(64, 0);
    let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let message = format!("{id}.{timestamp}.{body}");
    let inner = Sha256::digest([pad(0x36), message.into_bytes()].concat());
    let outer = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
    format!("v1,{}", STANDARD.encode(outer))
}

/// Checks the example of the standard's own libraries.
#[test]
fn receiver_verifies_by_the_standard() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let signature = sign(
        secret,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        r#"{"test": 2432232314}"#,
    );
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}
