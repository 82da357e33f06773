//! What htmx is answered, which asks for parts of pages: what is not a part of the page that it is
//! on takes the place of all of that page.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use maud::html;

use super::failure::Failure;

const ASKS: HeaderName = HeaderName::from_static("hx-request");
const BOOSTED: HeaderName = HeaderName::from_static("hx-boosted");
const REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const RETARGET: HeaderName = HeaderName::from_static("hx-retarget");
const RESWAP: HeaderName = HeaderName::from_static("hx-reswap");

/// Marks an answer that is a page of its own, whatever was asked for; with the reason for it.
#[derive(Clone)]
pub(super) struct Whole(pub(super) String);

/// Whether htmx asks, which takes parts of pages.
pub(super) fn is_partial(headers: &HeaderMap) -> bool {
    headers.contains_key(ASKS) && !headers.contains_key(BOOSTED)
}

/// Why a script was refused what nobody has asked for: the page that it is on stays as it is.
pub(super) fn unseen(failure: Failure) -> Response {
    let mut response = failure.into_response();
    response.extensions_mut().remove::<Whole>();
    if response.headers_mut().remove(header::LOCATION).is_some() {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
        .headers_mut()
        .insert(RESWAP, HeaderValue::from_static("none"));
    response
}

/// Has htmx show whole pages where a form was sent, and go where it is sent: a redirect it would
/// follow unseen. What a page asks for by itself takes nothing away: what is wrong with it is said
/// in the place of the part.
pub(super) async fn adapt(request: Request, next: Next) -> Response {
    let (partial, sent) = (
        is_partial(request.headers()),
        request.method() == Method::POST,
    );
    let mut response = next.run(request).await;
    if !partial {
        return response;
    }
    let headers = response.headers_mut();
    if let Some(location) = headers.remove(header::LOCATION) {
        headers.insert(REDIRECT, location);
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else if let Some(Whole(reason)) = response.extensions_mut().remove() {
        if !sent {
            let part = html! { p .error role="alert" { (reason) } };
            return (
                response.status(),
                [(RESWAP, "innerHTML")],
                Html(part.into_string()),
            )
                .into_response();
        }
        let headers = response.headers_mut();
        headers.insert(RETARGET, HeaderValue::from_static("body"));
        headers.insert(
            RESWAP,
            HeaderValue::from_static("innerHTML show:window:top"),
        );
    }
    response
}
