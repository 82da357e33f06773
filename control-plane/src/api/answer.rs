//! What a successful request is answered.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// `{"status":"success","message":…,"data":…}`
#[derive(Serialize)]
pub(super) struct Answer<T> {
    status: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(skip)]
    code: StatusCode,
}

impl<T: Serialize> Answer<T> {
    pub(super) fn ok(message: &'static str, data: T) -> Self {
        Self { status: "success", message, data: Some(data), code: StatusCode::OK }
    }

    pub(super) fn created(message: &'static str, data: T) -> Self {
        Self { code: StatusCode::CREATED, ..Self::ok(message, data) }
    }
}

impl Answer<()> {
    pub(super) fn done(message: &'static str) -> Self {
        Self { status: "success", message, data: None, code: StatusCode::OK }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        (self.code, Json(self)).into_response()
    }
}
