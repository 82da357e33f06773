//! Scripts and styles of the pages, compiled in and served under names that change with the
//! release.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::ConsoleState;

/// Configures htmx: no styles or scripts made by htmx, which the pages' policy would refuse; no
/// copies of pages in the browser's storage, as some show a key; and error responses are shown like
/// others.
pub(super) const HTMX_CONFIG: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"historyCacheSize":0,"refreshOnHistoryMiss":true,"responseHandling":[{"code":"204","swap":false},{"code":"[45]..","swap":true,"error":true},{"code":"...","swap":true}]}"#;

/// An asset: its path, type and content.
pub(super) struct Asset {
    pub(super) path: &'static str,
    kind: HeaderValue,
    content: &'static str,
}

macro_rules! asset {
    ($name:literal, $kind:literal) => {
        Asset {
            path: concat!("/console/assets/", env!("CARGO_PKG_VERSION"), "/", $name),
            kind: HeaderValue::from_static($kind),
            content: include_str!(concat!("assets/", $name)),
        }
    };
}

/// The htmx library, which replaces parts of pages.
pub(super) const HTMX: Asset = asset!("htmx.min.js", "text/javascript; charset=utf-8");
/// The console's own script.
pub(super) const SCRIPT: Asset = asset!("console.js", "text/javascript; charset=utf-8");
/// The style sheet of all pages.
pub(super) const STYLE: Asset = asset!("console.css", "text/css; charset=utf-8");
/// The icon in the browser's tab.
pub(super) const ICON: Asset = asset!("icon.svg", "image/svg+xml");

const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
];

/// Returns the routes of the assets.
pub(super) fn router() -> Router<ConsoleState> {
    [HTMX, SCRIPT, STYLE, ICON]
        .into_iter()
        .fold(Router::new(), |router, asset| {
            let Asset {
                path,
                kind,
                content,
            } = asset;
            router.route(
                path,
                get(async move || {
                    (HEADERS, [(header::CONTENT_TYPE, kind)], content).into_response()
                }),
            )
        })
}
