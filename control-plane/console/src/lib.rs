//! `/console`: where people manage keys in a browser. Pages are rendered here from the API's
//! responses: each page and each change makes API calls, in this process, on behalf of the session
//! whose token is in the browser's cookie. So the API is the only place that decides what is valid,
//! and who may see and do what.
//!
//! Nothing is loaded from other sites, and pages contain no inline scripts. Pages and forms also
//! work without a script; with scripts, htmx replaces parts of pages in place.

mod api;
mod aria;
mod assets;
mod audit;
mod chart;
mod conflict;
mod done;
mod escapes;
mod explain;
mod failure;
mod form;
mod grants;
mod id;
mod ip_rows;
mod keys;
mod layout;
mod login;
mod me;
mod nodes;
mod origin;
mod partial;
mod routes;
mod session;
mod usage;
mod users;
mod widgets;

use axum::http::{Extensions, HeaderName, HeaderValue, Uri, header};
use axum::response::Redirect;
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use latchkey_model::clock::Clock;
use std::sync::Arc;

/// The state that all pages share.
struct Console {
    calls: api::Calls,
    clock: Arc<dyn Clock>,
    /// The address at which clients reach Envoy, if it is known.
    gateway: Option<String>,
}

type Page = Arc<Console>;

/// The content security policy: no script or style in a page, nothing from other sites, and no
/// frame around a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The headers of every page. Pages are only for logged-in users, and some are shown only once, so
/// they are not stored.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The path at which users start.
const START: &str = "/console";

/// Redirects from a path that accepts only forms, such as after a reload, to the page one segment
/// above it.
async fn above(uri: Uri) -> Redirect {
    Redirect::to(
        uri.path()
            .rsplit_once('/')
            .map_or(START, |(above, _)| above),
    )
}

/// Returns those extensions of a browser's request that the API calls for its page need, such as
/// the address of the connection's peer.
pub type HandOn = fn(&Extensions) -> Extensions;

/// Returns the router of the pages, which call the API through `calls`. `gateway` is the address at
/// which clients reach Envoy, if it is known.
pub fn router(
    calls: Router,
    hand_on: HandOn,
    clock: Arc<dyn Clock>,
    gateway: Option<String>,
) -> Router {
    let console = Arc::new(Console {
        calls: api::Calls::new(calls, hand_on),
        clock,
        gateway,
    });
    let pages = Router::new()
        .route(START, get(layout::start))
        .route("/console/", get(async || Redirect::to(START)))
        .route("/console/login", get(login::page).post(login::log_in))
        .route("/console/logout", post(login::log_out))
        .route(ip_rows::CHECK, post(ip_rows::check))
        .merge(keys::router())
        .merge(audit::router())
        .merge(explain::router())
        .merge(nodes::router())
        .merge(routes::router())
        .merge(users::router())
        .merge(me::router())
        .merge(usage::router())
        .route("/console/{*page}", any(async || failure::Failure::NotFound))
        .method_not_allowed_fallback(above)
        .layer(middleware::from_fn(origin::refuse_other_sites))
        .layer(middleware::from_fn(login::lead_back))
        .layer(middleware::from_fn(done::once))
        .layer(middleware::from_fn(partial::adapt))
        .layer(middleware::map_response(escapes::escape))
        .layer(middleware::map_response(
            async |mut response: axum::response::Response| {
                for (name, value) in HEADERS {
                    response.headers_mut().insert(name, value);
                }
                response
            },
        ));
    pages.merge(assets::router()).with_state(console)
}
