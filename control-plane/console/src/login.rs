//! Logs users in and out.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::CookieJar;
use latchkey_api_types::Session;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use crate::api::{Refusal, with_query};
use crate::error::PageError;
use crate::form::{Fields, Query};
use crate::layout;
use crate::partial::is_partial;
use crate::session::{SESSION, VerifiedForm, cookie, no_cookie};
use crate::{ConsoleState, START};

const CURRENT_URL: HeaderName = HeaderName::from_static("hx-current-url");

const PATH: &str = "/console/login";

/// The reason why a user who was logged in sees the login page.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LoginReason {
    /// The user has logged out.
    LoggedOut,
    /// The session has expired or was ended elsewhere.
    #[serde(rename = "ended")]
    SessionEnded,
}

/// The reason to log in and the page to return to, as given in the address.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LoginParams {
    #[serde(rename = "why")]
    reason: Option<LoginReason>,
    /// The address of the page to show after the log-in.
    next: String,
}

/// Shows the login form.
pub(super) async fn page(Query(LoginParams { reason, next }): Query<LoginParams>) -> Html<String> {
    let note = reason.map(|reason| match reason {
        LoginReason::LoggedOut => "You have logged out.",
        LoginReason::SessionEnded => "Your session has ended. Log in to continue.",
    });
    Html(form("", &next, note, None).into_string())
}

/// Redirects to the login page, which shows the reason.
pub(super) fn redirect(reason: Option<LoginReason>) -> Response {
    let why = match reason {
        None => "",
        Some(LoginReason::LoggedOut) => "logged_out",
        Some(LoginReason::SessionEnded) => "ended",
    };
    Redirect::to(&with_query(PATH, &[("why", why)])).into_response()
}

/// Adds the requested page to redirects to the login page, so that logging in leads back to it.
pub(super) async fn add_requested_page(request: Request, next: Next) -> Response {
    let requested = requested_page(request.method(), request.uri(), request.headers());
    let mut response = next.run(request).await;

    if let (Some(requested), Some(location)) = (requested, response.headers().get(header::LOCATION))
    {
        let location = location.to_str().unwrap_or_default();
        if location.split('?').next() == Some(PATH)
            && let Ok(query) = serde_urlencoded::to_string([("next", requested)])
            && let Ok(location) = format!(
                "{location}{}{query}",
                if location.contains('?') { '&' } else { '?' }
            )
            .parse()
        {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    response
}

/// Returns the page that the user is on, or requested.
fn requested_page(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let current: Option<Uri> = if is_partial(headers) {
        headers
            .get(CURRENT_URL)
            .and_then(|url| url.to_str().ok())
            .and_then(|url| url.parse().ok())
    } else {
        (method == Method::GET).then(|| uri.clone())
    };
    let page = current?.path_and_query()?.to_string();
    is_page(&page).then_some(page)
}

/// Returns whether the address is a console page for logged-in users. Other addresses are refused,
/// as they could lead to another site.
fn is_page(address: &str) -> bool {
    let path = address
        .split('?')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    path.starts_with("/console/")
        && !path.contains("..")
        && !path.contains("%2e")
        && !address.starts_with(PATH)
        && address
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// Logs the user in and redirects to the requested page, or shows the form with the error.
pub(super) async fn log_in(
    State(console): State<ConsoleState>,
    request: Request,
) -> Result<Response, PageError> {
    let headers = request.headers().clone();
    let api = console
        .api_router
        .for_request(&headers, request.extensions(), None);
    let fields = Fields::from_stranger(request, &console).await?;

    let next = fields.text("next");
    let login = json!({ "email": fields.text("email"), "password": fields.raw("password") });

    match api
        .send::<Session>(Method::POST, "/v1/sessions", &login)
        .await
    {
        Ok(Session { token, .. }) => {
            let jar = CookieJar::new().add(cookie(&headers, token));
            Ok((jar, Redirect::to(if is_page(next) { next } else { START })).into_response())
        }
        Err(refusal) if refusal.status.is_client_error() => {
            let page = form(fields.text("email"), next, None, Some(&refusal));
            Ok((
                refusal.status,
                refusal.retry_after_header(),
                Html(page.into_string()),
            )
                .into_response())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Ends the session.
pub(super) async fn log_out(
    VerifiedForm { session, .. }: VerifiedForm,
) -> Result<Response, PageError> {
    session.api.send_empty(Method::DELETE, SESSION).await?;
    let jar = CookieJar::new().add(no_cookie());
    Ok((jar, redirect(Some(LoginReason::LoggedOut))).into_response())
}

fn form(email: &str, next: &str, note: Option<&str>, refusal: Option<&Refusal>) -> Markup {
    layout::without_session(
        "Log in",
        html! {
            h1 { "Log in" }
            @if let Some(note) = note { p role="status" { (note) } }
            @if let Some(refusal) = refusal { p .error role="alert" { (refusal.error) } }
            form method="post" action=(PATH) {
                @if is_page(next) { input type="hidden" name="next" value=(next); }
                label { "Email address"
                    input type="email" name="email" value=(email) autocomplete="username" required autofocus;
                }
                label { "Password"
                    input type="password" name="password" autocomplete="current-password" required;
                }
                button type="submit" { "Log in" }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::is_page;

    #[test]
    fn only_console_pages_follow_the_login() {
        for page in ["/console/keys", "/console/keys/key_1?a=b%20c"] {
            assert!(is_page(page), "{page}");
        }
        for other in [
            "",
            "https://example.com/console/",
            "//example.com",
            "/v1/keys",
            "/console/a\\b",
            "/console/a b",
            "/console/../v1/keys",
            "/console/%2E./v1",
            "/console/login?next=x",
        ] {
            assert!(!is_page(other), "{other}");
        }
    }
}
