//! Health, readiness and metrics, for probes and collectors.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use latchkey_server::metrics::GaugeValues;
use std::sync::Arc;
use tracing::warn;

use super::App;
use super::error::ApiError;
use super::response::{Answer, Done};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Check liveness
#[utoipa::path(get, path = "/healthz", operation_id = "isAlive", tag = "Machines",
    responses((status = 200, description = "The process is alive.", body = Done)))]
pub(crate) async fn healthz() -> Answer<()> {
    Answer::done("Alive")
}

/// Check readiness
///
/// Ready while the database can be read and written. Otherwise the error gives the reason. Waiting
/// or lost nodes do not affect readiness.
#[utoipa::path(get, path = "/readyz", operation_id = "isReady", tag = "Machines",
    responses((status = 200, description = "Ready.", body = Done)))]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<Answer<()>, ApiError> {
    app.store
        .check_writable()
        .map_err(|reason| ApiError::NotReady { reason })?;
    check_readable(&app).await?;
    Ok(Answer::done("Ready"))
}

/// Check readiness of the stream
///
/// Ready while the database can be read and changes are sent to nodes, even if it cannot be
/// written.
#[utoipa::path(get, path = "/readyz/stream", operation_id = "isStreamReady", tag = "Machines",
    responses((status = 200, description = "Ready.", body = Done)))]
pub(crate) async fn readyz_stream(State(app): State<Arc<App>>) -> Result<Answer<()>, ApiError> {
    check_readable(&app).await?;
    if !app.feed.is_alive() {
        return Err(ApiError::NotReady {
            reason: "changes cannot be read from the database, so nodes do not receive them"
                .to_owned(),
        });
    }
    Ok(Answer::done("Ready"))
}

async fn check_readable(app: &App) -> Result<(), ApiError> {
    app.store.ping().await.map_err(|error| ApiError::NotReady {
        reason: error.to_string(),
    })
}

/// Get metrics
///
/// Returns all metrics in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "Machines",
    responses(
        (status = 200, description = "All metrics.", body = String, content_type = "application/openmetrics-text")
    ))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    // Read first, before this call itself uses a reader.
    let (readers_busy, list_readers_busy) =
        (app.store.readers_busy(), app.store.list_readers_busy());
    match app.store.webhook_backlog().await {
        Ok(backlog) => app.metrics.webhooks.set(backlog, app.clock.now()),
        // The previous value is more accurate than none.
        Err(error) => warn!(%error, "cannot read the webhook outbox"),
    }
    let revision = app.store.revision();
    let slowest_node = app.registry.slowest().unwrap_or(revision);
    let text = app.metrics.encode(&GaugeValues {
        revision,
        nodes: app.registry.totals(),
        slowest_node,
        store_bytes: app.store.bytes(),
        readers_busy,
        list_readers_busy,
    });
    let text = text.map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text))
}
