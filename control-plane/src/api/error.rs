//! What a refused request is answered. Codes are stable; what only the operator should see goes to the log.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::fmt::Display;

use super::MAX_BODY_LEN;
use crate::password::PasswordError;
use crate::random::NoRandomness;
use crate::store::StoreError;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The request says something that it may not say.
    Invalid {
        /// Where, if it is one place.
        field: Option<String>,
        /// A sentence.
        error: String,
    },
    /// Email address or password, and we do not say which.
    Credentials,
    /// No session, or one that has ended.
    Session,
    /// The account has no such key.
    KeyNotFound,
    /// There is nothing at that path.
    NotFound,
    /// There is, but not for that method.
    MethodNotAllowed,
    /// A live key has the name.
    NameTaken,
    /// The body is not JSON by its own account.
    UnsupportedMediaType,
    /// The body is too long.
    TooLarge,
    /// It may be tried again after so many seconds.
    TooManyRequests(u32),
    /// It may work later. The detail is for the log.
    Unavailable(String),
    /// It is our fault. The detail is for the log.
    Internal(String),
}

/// `{"status":"error","code":…,"message":…,"error":…,"field":…}`
#[derive(Serialize)]
struct Body {
    status: &'static str,
    code: &'static str,
    message: &'static str,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl ApiError {
    /// `field` is to blame; `reason` goes on from its name, as in "must be …".
    pub(super) fn field(field: &str, reason: impl Display) -> Self {
        Self::Invalid { field: Some(field.to_owned()), error: format!("Field `{field}` {reason}.") }
    }

    /// The query parameter `name` is to blame.
    pub(super) fn parameter(name: &str, reason: impl Display) -> Self {
        Self::Invalid { field: Some(name.to_owned()), error: format!("Query parameter `{name}` {reason}.") }
    }

    fn parts(&self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_request", "Invalid request", ""),
            Self::Credentials => (
                StatusCode::UNAUTHORIZED,
                "invalid_credentials",
                "Invalid credentials",
                "Email address or password is wrong.",
            ),
            Self::Session => (
                StatusCode::UNAUTHORIZED,
                "invalid_session",
                "Invalid or missing session token",
                "Log in with POST /v1/sessions and send `Authorization: Bearer <token>`.",
            ),
            Self::KeyNotFound => (
                StatusCode::NOT_FOUND,
                "key_not_found",
                "API key not found",
                "The account has no API key with this id.",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found", "There is nothing at this path."),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This path does not support the request's method.",
            ),
            Self::NameTaken => (
                StatusCode::CONFLICT,
                "name_taken",
                "API key name already in use",
                "Field `name` is the name of another API key of the account that is not revoked.",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
                "The body must be JSON, with `Content-Type: application/json`.",
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "Payload too large", ""),
            Self::TooManyRequests(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
                "Too many logins were tried. Please wait, and try again.",
            ),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Service unavailable",
                "The request could not be completed now. Please try again.",
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "Something went wrong. The log of the control plane has the details.",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message, sentence) = self.parts();
        let retry_after = match self {
            Self::TooManyRequests(seconds) => Some(HeaderValue::from(seconds)),
            Self::Unavailable(_) => Some(HeaderValue::from(1)),
            _ => None,
        };
        let (field, error) = match self {
            Self::Invalid { field, error } => (field, error),
            Self::TooLarge => (None, format!("The body must have at most {MAX_BODY_LEN} bytes.")),
            Self::NameTaken => (Some("name".to_owned()), sentence.to_owned()),
            Self::Unavailable(detail) | Self::Internal(detail) => {
                tracing::error!(code, detail, "a request failed");
                (None, sentence.to_owned())
            }
            _ => (None, sentence.to_owned()),
        };
        let mut response = (status, Json(Body { status: "error", code, message, error, field })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NameTaken => Self::NameTaken,
            StoreError::KeyNotFound => Self::KeyNotFound,
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Database(_)
            | StoreError::Damaged(_)
            | StoreError::Record(_)
            | StoreError::Random(_)
            | StoreError::Interrupted => Self::Internal(error.to_string()),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::TooManyRequests(1),
            _ => Self::Internal(error.to_string()),
        }
    }
}

impl From<NoRandomness> for ApiError {
    fn from(error: NoRandomness) -> Self {
        Self::Internal(error.to_string())
    }
}
