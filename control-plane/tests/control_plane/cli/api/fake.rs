//! An API that answers as a test says, and keeps the calls.

use super::super::Person;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub(super) struct Api {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Api {
    /// Starts an API that responds with these data, one after the other.
    pub(super) async fn start(data: impl IntoIterator<Item = Value>) -> (Self, Person) {
        Self::answering(data.into_iter().map(|data| {
            (
                200,
                json!({"status": "success", "message": "", "data": data}),
            )
        }))
        .await
    }

    pub(super) async fn answering(
        answers: impl IntoIterator<Item = (u16, Value)>,
    ) -> (Self, Person) {
        let api = Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            ..Self::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (
            api,
            Person::stranger(&url).with("LATCHKEY_TOKEN", "lk_live_an-api-key"),
        )
    }

    /// Returns the requests since the last call, such as `GET /v1/keys?limit=1`, with their bodies.
    pub(super) fn calls(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

pub(super) async fn answer(State(api): State<Api>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    assert_eq!(
        head.headers[header::AUTHORIZATION],
        "Bearer lk_live_an-api-key"
    );
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    api.calls
        .lock()
        .unwrap()
        .push((format!("{} {}", head.method, head.uri), body));
    let (status, answer) = api
        .answers
        .lock()
        .unwrap()
        .pop_front()
        .expect("an answer to what was asked");
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        [(header::LOCATION, "http://127.0.0.1:1/")],
        axum::Json(answer),
    )
        .into_response()
}
