//! Error pages.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::html;

use crate::START;
use crate::api::Refusal;
use crate::layout;
use crate::login::{self, Why};
use crate::partial::Whole;

/// The reason for an error page.
#[derive(Debug)]
pub(super) enum Failure {
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

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal.status {
            StatusCode::UNAUTHORIZED => Self::SessionEnded,
            StatusCode::NOT_FOUND => Self::NotFound,
            _ => Self::Refused(refusal),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let wait = if let Self::Refused(refusal) = &self {
            refusal.wait()
        } else {
            None
        };
        let (status, title, reason) = match self {
            Self::LoggedOut => return login::redirect(None),
            Self::SessionEnded => return login::redirect(Some(Why::Ended)),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "Not found",
                "This page does not exist or \
            has been removed."
                    .to_owned(),
            ),
            Self::Forged => (
                StatusCode::FORBIDDEN,
                "Form rejected",
                "The form was not sent from a page of your current session, so nothing has \
                 changed. Go back, reload the page and try again."
                    .to_owned(),
            ),
            Self::NotAllowed(what) => (
                StatusCode::FORBIDDEN,
                "Not allowed",
                format!("You may not {what}. Ask an administrator of your account."),
            ),
            Self::Unreadable => (
                StatusCode::BAD_REQUEST,
                "Invalid request",
                "The address or the \
            form could not be read. Nothing has changed."
                    .to_owned(),
            ),
            Self::Refused(refusal) => (refusal.status, "Refused", refusal.error),
        };
        let page = layout::alone(
            title,
            html! {
                h1 { (title) }
                p role="alert" { (reason) }
                p { a href=(START) { "Go to the start page" } }
            },
        );
        (
            status,
            wait,
            Extension(Whole(reason)),
            Html(page.into_string()),
        )
            .into_response()
    }
}
