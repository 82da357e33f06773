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

/// Whether changes can be made
///
/// Ready while the database can be read and written. The reason is in the answer otherwise. Nodes
/// that wait or are lost do not change it.
#[utoipa::path(get, path = "/readyz", operation_id = "isReady", tag = "Machines",
    responses((status = 200, description = "Ready.", body = Done)))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Answer<()>, ApiError> {
    app.store.check_writable().map_err(ApiError::NotReady)?;
    check_readable(&app).await?;
    Ok(Answer::done("Ready"))
}

/// Whether nodes can be served
///
/// Ready while the database can be read and changes are sent to nodes, also when it cannot be
/// written.
#[utoipa::path(get, path = "/readyz/stream", operation_id = "isStreamReady", tag = "Machines",
    responses((status = 200, description = "Ready.", body = Done)))]
pub(super) async fn readyz_stream(State(app): State<Arc<App>>) -> Result<Answer<()>, ApiError> {
    check_readable(&app).await?;
    if !app.feed.is_alive() {
        return Err(ApiError::NotReady(
            "changes cannot be read, so that nodes are not sent them".to_owned(),
        ));
    }
    Ok(Answer::done("Ready"))
}

async fn check_readable(app: &App) -> Result<(), ApiError> {
    app.store
        .ping()
        .await
        .map_err(|error| ApiError::NotReady(error.to_string()))
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
    let (readers_busy, list_readers_busy) =
        (app.store.readers_busy(), app.store.list_readers_busy());
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
        list_readers_busy,
    });
    let text = text.map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text))
}
