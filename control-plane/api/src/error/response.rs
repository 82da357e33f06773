//! Error responses.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use latchkey_api_types as types;

use super::ApiError;
use crate::redact::redacted;

/// An error as the client sees it.
pub(crate) struct Report {
    pub(crate) code: &'static str,
    /// The text, without secrets.
    pub(crate) error: String,
    pub(crate) field: Option<String>,
}

impl ApiError {
    /// Returns the error as the client sees it. Logs details that are meant only for the operator.
    pub(crate) fn report(&self) -> Report {
        self.log_detail();
        Report {
            code: self.row().code,
            error: redacted(&self.text()),
            field: self.field_at_fault().as_deref().map(redacted),
        }
    }

    fn log_detail(&self) {
        match self {
            Self::Unavailable { detail } | Self::Internal { detail } => {
                tracing::error!(code = self.row().code, detail, "request failed");
            }
            Self::Row { error, .. } => error.log_detail(),
            _ => {}
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let row = self.row();
        let Report { code, error, field } = self.report();
        let body = types::Error {
            status: "error".to_owned(),
            code: code.to_owned(),
            message: row.title.to_owned(),
            error,
            field,
        };
        let mut response = (row.status, Json(body)).into_response();

        let headers = response.headers_mut();
        if row.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
