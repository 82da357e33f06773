//! Adapts responses for htmx, which requests parts of pages: a response that is not a part of the
//! current page replaces the whole page.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use maud::html;

use crate::failure::Failure;

const ASKS: HeaderName = HeaderName::from_static("hx-request");
const BOOSTED: HeaderName = HeaderName::from_static("hx-boosted");
const REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const RETARGET: HeaderName = HeaderName::from_static("hx-retarget");
const RESWAP: HeaderName = HeaderName::from_static("hx-reswap");

/// Marks a response that is always a whole page, such as an error page, with the reason for it.
#[derive(Clone)]
pub(super) struct Whole(pub(super) String);

/// Returns whether htmx made the request and expects a part of a page.
pub(super) fn is_partial(headers: &HeaderMap) -> bool {
    headers.contains_key(ASKS) && !headers.contains_key(BOOSTED)
}

/// Returns an error for a script's background request: the page stays as it is.
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

/// Makes htmx show whole pages after a form was sent, and follow redirects visibly; it would follow
/// them unnoticed otherwise. After a request that did not send a form, only the part is replaced by
/// the error.
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
