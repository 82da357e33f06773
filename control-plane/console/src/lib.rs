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
mod current_user;
mod error;
mod error_page;
mod escapes;
mod explain;
mod flash;
mod form;
mod grants;
mod id;
mod ip_rows;
mod keys;
mod layout;
mod login;
mod nodes;
mod origin;
mod partial;
mod routes;
mod session;
mod usage;
mod users;
mod widgets;

use axum::http::{Extensions, HeaderName, HeaderValue, Uri, header};
use axum::response::{Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use latchkey_model::clock::Clock;
use std::sync::Arc;

/// The settings that all pages share.
struct Console {
    api_router: api::ApiRouter,
    clock: Arc<dyn Clock>,
    /// The address at which clients reach Envoy, if it is known.
    gateway: Option<String>,
}

/// The state of the router.
type ConsoleState = Arc<Console>;

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
async fn redirect_above(uri: Uri) -> Redirect {
    Redirect::to(
        uri.path()
            .rsplit_once('/')
            .map_or(START, |(above, _)| above),
    )
}

/// Adds the headers of every page.
async fn add_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Returns the extensions of a browser's request that API calls need, such as the address of the
/// connection's peer.
pub type SelectExtensions = fn(&Extensions) -> Extensions;

/// Returns the router of the pages, which call the API through `api`. `gateway` is the address at
/// which clients reach Envoy, if it is known.
pub fn router(
    api: Router,
    select_extensions: SelectExtensions,
    clock: Arc<dyn Clock>,
    gateway: Option<String>,
) -> Router {
    let console = Arc::new(Console {
        api_router: api::ApiRouter::new(api, select_extensions),
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
        .merge(current_user::router())
        .merge(usage::router())
        .route("/console/{*page}", any(async || error::PageError::NotFound))
        .method_not_allowed_fallback(redirect_above)
        .layer(middleware::from_fn(origin::refuse_other_sites))
        .layer(middleware::map_response(error_page::render))
        .layer(middleware::from_fn(login::add_requested_page))
        .layer(middleware::from_fn(flash::show_once))
        .layer(middleware::from_fn(partial::adapt))
        .layer(middleware::map_response(escapes::escape))
        .layer(middleware::map_response(add_headers));

    pages.merge(assets::router()).with_state(console)
}
