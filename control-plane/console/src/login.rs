//! Logs users in and out.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::CookieJar;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use crate::api::{Refusal, with_query};
use crate::failure::Failure;
use crate::form::{Fields, Query};
use crate::layout;
use crate::partial::is_partial;
use crate::session::{SESSION, Sent, cookie, no_cookie};
use crate::{Page, START};

#[derive(Deserialize)]
struct LoggedIn {
    token: String,
}

const CURRENT_URL: HeaderName = HeaderName::from_static("hx-current-url");

const PATH: &str = "/console/login";

/// The reason why a user who was logged in sees the login page.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// The user has logged out.
    LoggedOut,
    /// The session has expired or was ended elsewhere.
    Ended,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    why: Option<Why>,
    next: String,
}

pub(super) async fn page(Query(Asked { why, next }): Query<Asked>) -> Html<String> {
    let note = why.map(|why| match why {
        Why::LoggedOut => "You have logged out.",
        Why::Ended => "Your session has ended. Log in to continue.",
    });
    Html(form("", &next, note, None).into_string())
}

/// Redirects to the login page.
pub(super) fn redirect(why: Option<Why>) -> Response {
    let why = match why {
        None => "",
        Some(Why::LoggedOut) => "logged_out",
        Some(Why::Ended) => "ended",
    };
    Redirect::to(&with_query(PATH, &[("why", why)])).into_response()
}

/// Adds the requested page to redirects to the login page, so that logging in leads back to it.
pub(super) async fn lead_back(request: Request, next: Next) -> Response {
    let wanted = wanted(request.method(), request.uri(), request.headers());
    let mut response = next.run(request).await;
    if let (Some(wanted), Some(location)) = (wanted, response.headers().get(header::LOCATION)) {
        let location = location.to_str().unwrap_or_default();
        if location.split('?').next() == Some(PATH)
            && let Ok(query) = serde_urlencoded::to_string([("next", wanted)])
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
fn wanted(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let current: Option<Uri> = if is_partial(headers) {
        headers
            .get(CURRENT_URL)
            .and_then(|url| url.to_str().ok())
            .and_then(|url| url.parse().ok())
    } else {
        (method == Method::GET).then(|| uri.clone())
    };
    let wanted = current?.path_and_query()?.to_string();
    is_page(&wanted).then_some(wanted)
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

pub(super) async fn log_in(
    State(console): State<Page>,
    request: Request,
) -> Result<Response, Failure> {
    let headers = request.headers().clone();
    let api = console.calls.of(&headers, request.extensions(), None);
    let fields = Fields::from_stranger(request, &console).await?;
    let next = fields.text("next");
    let login = json!({ "email": fields.text("email"), "password": fields.raw("password") });
    match api
        .send::<LoggedIn>(Method::POST, "/v1/sessions", &login)
        .await
    {
        Ok(LoggedIn { token }) => {
            let jar = CookieJar::new().add(cookie(&headers, token));
            Ok((jar, Redirect::to(if is_page(next) { next } else { START })).into_response())
        }
        Err(refusal) if refusal.status.is_client_error() => {
            let page = form(fields.text("email"), next, None, Some(&refusal));
            Ok((refusal.status, refusal.wait(), Html(page.into_string())).into_response())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

pub(super) async fn log_out(Sent { session, .. }: Sent) -> Result<Response, Failure> {
    session.api.tell(Method::DELETE, SESSION).await?;
    let jar = CookieJar::new().add(no_cookie());
    Ok((jar, redirect(Some(Why::LoggedOut))).into_response())
}

fn form(email: &str, next: &str, note: Option<&str>, refusal: Option<&Refusal>) -> Markup {
    layout::alone(
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
    fn only_pages_of_the_console_are_gone_on_to() {
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
