//! Error responses.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use latchkey_model::schema::one_of;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::ApiError;
use crate::redact::redacted;

/// `{"status":"error","code":…,"message":…,"error":…,"field":…}`
#[derive(Serialize, ToSchema)]
#[schema(as = Error, description = "An error response.")]
pub(crate) struct Body {
    #[schema(schema_with = error_status)]
    status: &'static str,
    /// The stable error code, for programs.
    #[schema(pattern = "^[a-z][a-z0-9_]*$", example = "invalid_request")]
    code: &'static str,
    /// The kind of error, for people.
    #[schema(example = "Invalid request")]
    message: &'static str,
    /// The cause in this case, as a sentence.
    #[schema(example = "Field `name` is missing.")]
    error: String,
    /// The field or parameter that caused the error, if it is a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "name")]
    field: Option<String>,
}

fn error_status() -> Object {
    one_of(["error"]).build()
}

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
        let body = Body {
            status: "error",
            code,
            message: row.title,
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
