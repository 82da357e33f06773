//! `/v1/routes`: the route rules of every node.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::entity_tag::Tagged as _;
use latchkey_model::route_document::{RouteDocument, affected_rules};
use latchkey_store::Lasting;
use std::sync::Arc;
use tracing::info;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::openapi::parameters::{IfMatch, Wait};
use super::response::Answer;

/// Get route rules
#[utoipa::path(get, path = "/v1/routes", operation_id = "getRoutes", tag = "Gateway",
    security(("credential" = ["gateway:routes:read"])),
    responses((status = 200, description = "The rules, in order.", body = Answer<RouteDocument>,
        headers(("ETag" = String, description = "For `If-Match`.")))))]
pub(crate) async fn get(
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

/// Replace route rules
///
/// Replaces all rules at once, for every node. The first rule that matches a request applies. The
/// response lists the rules that `path_case` affects. An API key that is restricted to services or
/// subaccounts cannot replace rules.
#[utoipa::path(put, path = "/v1/routes", operation_id = "putRoutes", tag = "Gateway",
    params(Wait, IfMatch), request_body = RouteDocument, security(("credential" = ["gateway:routes:update"])),
    responses(
        (status = 200, description = "The current rules, and enforcement progress.", body = Answer<types::ChangedRoutes>,
            headers(("ETag" = String, description = "For `If-Match`.")))
    ))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(document): Body<RouteDocument>,
) -> Result<Answer<types::ChangedRoutes>, ApiError> {
    let acting = session.acting_unrestricted(&app, "gateway:routes:update", Lasting::Routes)?;
    let timeout = params.timeout()?;
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

    let enforcement = app.enforced(revision, timeout).await;
    let tag = document.entity_tag();
    Ok(Answer::ok(
        "Route rules updated successfully",
        types::ChangedRoutes {
            document,
            affected_rules,
            enforcement,
        },
    )
    .tagged(tag))
}
