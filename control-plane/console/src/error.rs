//! The errors that end a request of a browser.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::Refusal;

/// The reason for an error page. The response carries only the reason; `error_page::render` makes
/// the page.
#[derive(Debug, Clone)]
pub(super) enum PageError {
    /// There is no session.
    LoggedOut,
    /// The session has ended.
    SessionEnded,
    /// The page does not exist.
    NotFound,
    /// A form does not come from a page of this session.
    Forged,
    /// A form or an address cannot be parsed.
    Unreadable,
    /// The user is not allowed to do this. The text names the action.
    NotAllowed(&'static str),
    /// The API refused the call.
    Refused(Refusal),
}

impl From<Refusal> for PageError {
    fn from(refusal: Refusal) -> Self {
        match refusal.status {
            StatusCode::UNAUTHORIZED => Self::SessionEnded,
            StatusCode::NOT_FOUND => Self::NotFound,
            _ => Self::Refused(refusal),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, Extension(self)).into_response()
    }
}
