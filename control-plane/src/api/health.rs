//! For machines: whether it lives, whether it can work, and its metrics.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use std::sync::Arc;
use tracing::warn;

use super::App;
use super::answer::{Answer, Done};
use super::error::ApiError;
use crate::metrics::Moment;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether it lives
#[utoipa::path(get, path = "/healthz", operation_id = "isAlive", tag = "Machines",
    responses((status = 200, description = "It does.", body = Done)))]
pub(super) async fn healthz() -> Answer<()> {
    Answer::done("Alive")
}

/// Whether it can work
///
/// Both listeners were bound before anything was answered; what is left to ask is the store.
#[utoipa::path(get, path = "/readyz", operation_id = "isReady", tag = "Machines",
    responses((status = 200, description = "It can.", body = Done)))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Answer<()>, ApiError> {
    app.store.ping().await.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    Ok(Answer::done("Ready"))
}

/// Get the metrics
///
/// In the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "Machines",
    responses(
        (status = 200, description = "All metrics.", body = String, content_type = "application/openmetrics-text")
    ))]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    // Before this very call reads.
    let readers_busy = app.store.readers_busy();
    match app.store.webhook_backlog().await {
        Ok(backlog) => app.metrics.webhooks.set(backlog, app.clock.now()),
        // What it was before is closer to the truth than nothing.
        Err(error) => warn!(%error, "the outbox cannot be read"),
    }
    let revision = app.store.revision();
    let slowest_node = app.registry.slowest().unwrap_or(revision);
    let text = app.metrics.encode(&Moment {
        revision,
        nodes: app.registry.totals(),
        slowest_node,
        store_bytes: app.store.bytes(),
        readers_busy,
    });
    let text = text.map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text))
}
