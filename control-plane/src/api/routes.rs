//! `/v1/routes`: which requests need what, for every node.

use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tracing::info;

use super::App;
use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use crate::enforcement::Enforcement;
use crate::route_document::RouteDocument;

#[derive(Serialize)]
pub(super) struct Changed {
    #[serde(flatten)]
    document: RouteDocument,
    enforcement: Enforcement,
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<RouteDocument>, ApiError> {
    caller.require("gateway:routes:read")?;
    params.finish()?;
    Ok(Answer::ok("Route rules retrieved successfully", app.store.routes().await?))
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(document): Body<RouteDocument>,
) -> Result<Answer<Changed>, ApiError> {
    let acting = session.acting(&app, "gateway:routes:update")?;
    let patience = params.patience()?;
    params.finish()?;
    let routes = document.check().map_err(ApiError::faults)?;
    let (document, revision) = acting.put_routes(&routes).await?;
    info!(user = session.caller.user_id, revision, rules = routes.rules().len(), "route rules changed");
    let enforcement = app.enforced(revision, patience).await;
    Ok(Answer::ok("Route rules updated successfully", Changed { document, enforcement }))
}
