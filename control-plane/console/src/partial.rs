//! Adapts responses for htmx, which requests parts of pages: a response that is not a part of the
//! current page replaces the whole page.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use maud::html;

const HTMX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const BOOSTED: HeaderName = HeaderName::from_static("hx-boosted");
const REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const RETARGET: HeaderName = HeaderName::from_static("hx-retarget");

/// The response header that tells htmx how to insert the response.
pub(super) const RESWAP: HeaderName = HeaderName::from_static("hx-reswap");

/// Marks a response that is always a whole page, such as an error page.
#[derive(Clone)]
pub(super) struct WholePage {
    /// The error text that replaces only the part of the page.
    pub(super) reason: String,
}

/// Returns whether htmx made the request and expects a part of a page.
pub(super) fn is_partial(headers: &HeaderMap) -> bool {
    headers.contains_key(HTMX_REQUEST) && !headers.contains_key(BOOSTED)
}

/// Makes htmx show whole pages after a form was sent, and follow redirects visibly; it would follow
/// them unnoticed otherwise. After a request that did not send a form, only the part is replaced by
/// the error.
pub(super) async fn adapt(request: Request, next: Next) -> Response {
    let partial = is_partial(request.headers());
    let sends_form = request.method() == Method::POST;

    let mut response = next.run(request).await;
    if !partial {
        return response;
    }

    let headers = response.headers_mut();
    if let Some(location) = headers.remove(header::LOCATION) {
        headers.insert(REDIRECT, location);
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else if let Some(WholePage { reason }) = response.extensions_mut().remove() {
        if !sends_form {
            let part = html! { p .error role="alert" { (reason) } };
            let part = Html(part.into_string());
            return (response.status(), [(RESWAP, "innerHTML")], part).into_response();
        }

        let swap = HeaderValue::from_static("innerHTML show:window:top");
        let headers = response.headers_mut();
        headers.insert(RETARGET, HeaderValue::from_static("body"));
        headers.insert(RESWAP, swap);
    }
    response
}
