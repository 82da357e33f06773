//! Renders error pages.

use axum::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::html;

use crate::START;
use crate::error::PageError;
use crate::layout;
use crate::login::{self, LoginReason};
use crate::partial::{RESWAP, WholePage};

/// Replaces a response that carries an error by the error's page. Other responses pass unchanged.
pub(super) async fn render(mut response: Response) -> Response {
    match response.extensions_mut().remove::<PageError>() {
        Some(error) => page(error),
        None => response,
    }
}

/// Returns an error for a script's background request: the page stays as it is.
pub(super) fn in_background(error: PageError) -> Response {
    let mut response = page(error);
    response.extensions_mut().remove::<WholePage>();

    if response.headers_mut().remove(header::LOCATION).is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
        .headers_mut()
        .insert(RESWAP, HeaderValue::from_static("none"));
    response
}

/// Renders the page of an error, or redirects to the login page if there is no session.
fn page(error: PageError) -> Response {
    let retry_after = if let PageError::Refused(refusal) = &error {
        refusal.retry_after_header()
    } else {
        None
    };

    let (status, title, reason) = match error {
        PageError::LoggedOut => return login::redirect(None),
        PageError::SessionEnded => return login::redirect(Some(LoginReason::SessionEnded)),
        PageError::NotFound => (
            StatusCode::NOT_FOUND,
            "Not found",
            "This page does not exist or has been removed.".to_owned(),
        ),
        PageError::Forged => (
            StatusCode::FORBIDDEN,
            "Form rejected",
            "The form was not sent from a page of your current session, so nothing has changed. \
             Go back, reload the page and try again."
                .to_owned(),
        ),
        PageError::NotAllowed(action) => (
            StatusCode::FORBIDDEN,
            "Not allowed",
            format!("You may not {action}. Ask an administrator of your account."),
        ),
        PageError::Unreadable => (
            StatusCode::BAD_REQUEST,
            "Invalid request",
            "The address or the form could not be read. Nothing has changed.".to_owned(),
        ),
        PageError::Refused(refusal) => (refusal.status, "Refused", refusal.error),
    };

    let page = layout::without_session(
        title,
        html! {
            h1 { (title) }
            p role="alert" { (reason) }
            p { a href=(START) { "Go to the start page" } }
        },
    );
    let whole = Extension(WholePage { reason });
    (status, retry_after, whole, Html(page.into_string())).into_response()
}
