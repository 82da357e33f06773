//! Middleware of every request: its id, a time limit, a log line, metrics, and `Cache-Control`.
//! Neither headers nor bodies nor paths are logged: any of them can hold a key.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use latchkey_model::random;
use latchkey_server::metrics::{self, Metrics};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{self, Instant};
use tracing::{Instrument as _, debug, info, info_span};

use super::App;
use super::error::ApiError;
use super::throttle::Quota;

/// The time limit of a request: longer than the longest wait for enforcement.
const TIMEOUT: Duration = Duration::from_secs(35);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_LEN: usize = 64;

/// Gives a request its id and its time limit, logs and counts it, and sets the headers that every
/// response has.
pub(crate) async fn observe(
    State(app): State<Arc<App>>,
    route: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = name(request.method());
    let route = route
        .as_ref()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();

    // Other routes are for probes, which bypass the proxies.
    if route.starts_with("/v1/") || route.starts_with("/console") {
        app.hops_check
            .check(request.headers(), app.trusted_hops, &app.metrics);
    }
    let rate_limit = RateLimitInfo::default();
    let extensions = request.extensions_mut();
    extensions.insert(rate_limit.clone());
    extensions.insert(RequestId(id.to_str().unwrap_or_default().to_owned()));

    let span = info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method,
        route
    );
    let answered = time::timeout(TIMEOUT, next.run(request).instrument(span.clone())).await;
    let mut response = span.in_scope(|| {
        let response = answered.unwrap_or_else(|_| overdue(method).into_response());
        log(&route, &response, started);
        response
    });
    count(&app.metrics, route, method, &response, started);

    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    // A response can contain a secret. Public files set their own `Cache-Control`.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    rate_limit.write_to(headers);
    response
}

fn log(route: &str, response: &Response, started: Instant) {
    let (status, elapsed_ms) = (response.status().as_u16(), started.elapsed().as_millis());
    if route.starts_with("/v1/") {
        info!(status, elapsed_ms, "answered");
    } else {
        debug!(status, elapsed_ms, "answered");
    }
}

fn count(
    metrics: &Metrics,
    route: String,
    method: &'static str,
    response: &Response,
    started: Instant,
) {
    let endpoint = metrics::EndpointLabels {
        route: route.clone(),
        method,
    };
    metrics
        .http
        .request_seconds
        .get_or_create(&endpoint)
        .observe(started.elapsed().as_secs_f64());

    let request = metrics::RequestLabels {
        route,
        method,
        status: response.status().as_u16(),
    };
    metrics.http.requests.get_or_create(&request).inc();
}

/// Returns the error for a request that was not completed in time. A change that has begun
/// continues.
fn overdue(method: &str) -> ApiError {
    match method {
        "GET" | "HEAD" | "OPTIONS" => ApiError::Unavailable {
            detail: "request timed out".to_owned(),
        },
        _ => ApiError::OutcomeUnknown,
    }
}

/// The id of a request in the log.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// The caller's rate limit, recorded at authentication and sent with the response.
#[derive(Clone, Default)]
pub(crate) struct RateLimitInfo(Arc<OnceLock<Quota>>);

impl RateLimitInfo {
    pub(crate) fn set(&self, quota: Option<Quota>) {
        // A request has one caller, so this is set only once.
        if let Some(quota) = quota {
            let _ = self.0.set(quota);
        }
    }

    fn write_to(&self, headers: &mut HeaderMap) {
        let Some(Quota {
            limit,
            remaining,
            reset,
            ..
        }) = self.0.get()
        else {
            return;
        };
        headers.insert("x-ratelimit-limit", (*limit).into());
        headers.insert("x-ratelimit-remaining", (*remaining).into());
        headers.insert("x-ratelimit-reset", (*reset).into());
    }
}

/// Returns the client's request id if it is short and harmless, or a new one. An id with `_` is not
/// harmless, because every key and session token has one and the id is logged.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=MAX_REQUEST_ID_LEN).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte))
    };
    if let Some(given) = headers.get(REQUEST_ID).filter(harmless) {
        return given.clone();
    }
    let drawn = random::base62(20)
        .ok()
        .and_then(|id| HeaderValue::try_from(id).ok());
    drawn.unwrap_or(HeaderValue::from_static("unknown"))
}

/// Returns a name from a bounded set, because it is a metric's label.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{StatusCode, header};

    #[test]
    fn overdue_change_is_not_called_failed() {
        for (method, code) in [
            ("GET", "unavailable"),
            ("DELETE", "outcome_unknown"),
            ("POST", "outcome_unknown"),
        ] {
            let error = overdue(method);
            assert_eq!(
                (error.row().status, error.row().code),
                (StatusCode::SERVICE_UNAVAILABLE, code),
                "{method}"
            );
            // A client that repeats a change without checking may make it twice.
            let response = error.into_response();
            assert_eq!(
                response.headers().contains_key(header::RETRY_AFTER),
                code == "unavailable",
                "{method}"
            );
        }
    }
}
