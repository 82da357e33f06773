//! `/docs`: a page to read the API's description and to try the calls. It is the compiled-in
//! Swagger UI: the page loads nothing from other hosts, and its policy forbids that.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use std::sync::Arc;
use utoipa_swagger_ui::Config;

use super::App;
use super::error::ApiError;

/// Swagger UI sets styles in elements, and its style sheet contains pictures.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// Returns the routes. The page has its own directory, because it refers to its files by relative
/// paths.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || file("")))
        .route(
            "/docs/{*file}",
            get(async |Path(name): Path<String>| file(&name)),
        )
}

fn file(name: &str) -> Result<Response, ApiError> {
    // Disables the badge of a validator, which is an external service.
    let config = Config::from("/openapi.json")
        .validator_url("none")
        .try_it_out_enabled(true);
    let file = utoipa_swagger_ui::serve(name, Arc::new(config));
    let file = file
        .map_err(ApiError::internal)?
        .ok_or(ApiError::NotFound)?;
    Ok((
        HEADERS,
        [(header::CONTENT_TYPE, file.content_type)],
        file.bytes.into_owned(),
    )
        .into_response())
}
