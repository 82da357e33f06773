//! `/v1/tiers`: named limits, defined by the operator.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::entity_tag::Tagged as _;
use latchkey_model::json::Object;
use latchkey_model::tier::Tier;
use latchkey_store::Lasting;
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::info;

use super::App;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::fields;
use super::openapi::parameters::{IfMatch, Wait};
use super::response::Answer;

fn check(document: types::NewTiers) -> Result<Vec<Tier>, ApiError> {
    let tiers: Vec<_> = document
        .tiers
        .into_iter()
        .map(|Object(tier)| tier)
        .collect();
    fields::bounded("tiers", &tiers)?;
    let mut names = BTreeSet::new();
    for (index, tier) in tiers.iter().enumerate() {
        let field = format!("tiers[{index}].name");
        fields::word(&field, &tier.name)?;
        if !names.insert(tier.name.as_str()) {
            return Err(ApiError::field(&field, "is also the name of another tier"));
        }
    }
    Ok(tiers)
}

/// Get tiers
///
/// Available to every caller, because tier names are needed to create keys.
#[utoipa::path(get, path = "/v1/tiers", operation_id = "getTiers", tag = "Gateway",
    security(("credential" = [])),
    responses((status = 200, description = "All tiers.", body = Answer<types::Tiers>,
        headers(("ETag" = String, description = "For `If-Match`.")))))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    _: Session,
    params: Params,
) -> Result<Answer<types::Tiers>, ApiError> {
    params.finish()?;
    let tiers = app.store.tiers().await?;
    let tag = tiers.entity_tag();
    Ok(Answer::ok("Tiers retrieved successfully", types::Tiers { tiers }).tagged(tag))
}

/// Replace tiers
///
/// Replaces all tiers at once. A restricted API key cannot replace tiers.
#[utoipa::path(put, path = "/v1/tiers", operation_id = "putTiers", tag = "Gateway",
    params(Wait, IfMatch), request_body = types::NewTiers, security(("credential" = ["gateway:tiers:update"])),
    responses(
        (status = 200, description = "The current tiers, and enforcement progress.", body = Answer<types::ChangedTiers>,
            headers(("ETag" = String, description = "For `If-Match`."))),
        (status = 409, description = "A tier that would be removed is in use by an account or by \
        a key that is not revoked."),
    ))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(document): Body<types::NewTiers>,
) -> Result<Answer<types::ChangedTiers>, ApiError> {
    let acting = session.acting_unrestricted(&app, "gateway:tiers:update", Lasting::Tiers)?;
    let timeout = params.timeout()?;
    params.finish()?;

    let tiers = check(document)?;
    let revision = acting.put_tiers(tiers.clone()).await?;
    info!(user = session.caller.user_id, revision, "tiers changed");

    let enforcement = app.enforced(revision, timeout).await;
    let tag = tiers.entity_tag();
    Ok(Answer::ok(
        "Tiers updated successfully",
        types::ChangedTiers { tiers, enforcement },
    )
    .tagged(tag))
}
