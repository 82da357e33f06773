//! `/v1/routes`: which requests need what, for every node.

use axum::extract::State;
use latchkey_model::entity_tag::Tagged as _;
use latchkey_model::route_document::{self, AffectedRule, RouteDocument, affected_rules};
use latchkey_store::Lasting;
use serde::Serialize;
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::openapi::parameters::{IfMatch, Wait};
use crate::enforcement::Enforcement;

#[derive(Serialize, ToSchema)]
#[schema(as = ChangedRoutes)]
pub(super) struct Changed {
    #[serde(flatten)]
    #[schema(schema_with = route_document::shown)]
    document: RouteDocument,
    /// Rules whose requests `path_case` refuses, or leaves to an earlier rule, though they are
    /// spelled as the rule is.
    affected_rules: Vec<AffectedRule>,
    enforcement: Enforcement,
}

/// Get the route rules
#[utoipa::path(get, path = "/v1/routes", operation_id = "getRoutes", tag = "Gateway",
    security(("credential" = ["gateway:routes:read"])),
    responses((status = 200, description = "The rules, in order.", body = Answer<RouteDocument>,
        headers(("ETag" = String, description = "For `If-Match`.")))))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<RouteDocument>, ApiError> {
    caller.require("gateway:routes:read")?;
    params.finish()?;
    let document = app.store.routes().await?;
    let tag = document.entity_tag();
    Ok(Answer::ok("Route rules retrieved successfully", document).tagged(tag))
}

/// Replace the route rules
///
/// All of them at once, for every node. The first rule that matches a request applies to it. The
/// answer names the rules that `path_case` affects. A key that is kept to some services or
/// subaccounts puts none.
#[utoipa::path(put, path = "/v1/routes", operation_id = "putRoutes", tag = "Gateway",
    params(Wait, IfMatch), request_body = RouteDocument, security(("credential" = ["gateway:routes:update"])),
    responses(
        (status = 200, description = "The rules as they are now, and how far that has come.", body = Answer<Changed>,
            headers(("ETag" = String, description = "For `If-Match`.")))
    ))]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(document): Body<RouteDocument>,
) -> Result<Answer<Changed>, ApiError> {
    let acting = session.acting_unrestricted(&app, "gateway:routes:update", Lasting::Routes)?;
    let patience = params.patience()?;
    params.finish()?;
    let routes = document.check().map_err(ApiError::faults)?;
    let (document, revision) = acting.put_routes(&routes).await?;
    info!(
        user = session.caller.user_id,
        revision,
        rules = routes.rules().len(),
        "route rules changed"
    );
    let affected_rules = affected_rules(&routes);
    let enforcement = app.enforced(revision, patience).await;
    let tag = document.entity_tag();
    Ok(Answer::ok(
        "Route rules updated successfully",
        Changed {
            document,
            affected_rules,
            enforcement,
        },
    )
    .tagged(tag))
}
