//! `/v1/tiers`: named limits, defined by the operator.

use axum::extract::State;
use latchkey_model::entity_tag::Tagged as _;
use latchkey_model::json::Object;
use latchkey_model::limits::LimitsChange;
use latchkey_model::schema::object;
use latchkey_model::tier::Tier;
use latchkey_store::Lasting;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::fields;
use super::openapi::parameters::{IfMatch, Wait};
use super::openapi::texts;
use super::schemas::schemas;
use latchkey_server::Enforcement;

/// All tiers, in order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTiers)]
pub(crate) struct Document {
    #[schema(value_type = Vec<NewTier>, max_items = 256)]
    tiers: Vec<Object<Tier>>,
}

schemas! {
    /// A tier to store.
    NewTier = object()
        .property("name", texts::Word::schema()).required("name")
        .property("limits", LimitsChange::schema()).required("limits");
}

impl Document {
    fn check(self) -> Result<Vec<Tier>, ApiError> {
        let tiers: Vec<_> = self.tiers.into_iter().map(|Object(tier)| tier).collect();
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
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tiers)]
pub(crate) struct View {
    tiers: Vec<Tier>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ChangedTiers)]
pub(crate) struct Changed {
    tiers: Vec<Tier>,
    enforcement: Enforcement,
}

/// Get tiers
///
/// Available to every caller, because tier names are needed to create keys.
#[utoipa::path(get, path = "/v1/tiers", operation_id = "getTiers", tag = "Gateway",
    security(("credential" = [])),
    responses((status = 200, description = "All tiers.", body = Answer<View>,
        headers(("ETag" = String, description = "For `If-Match`.")))))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    _: Session,
    params: Params,
) -> Result<Answer<View>, ApiError> {
    params.finish()?;
    let tiers = app.store.tiers().await?;
    let tag = tiers.entity_tag();
    Ok(Answer::ok("Tiers retrieved successfully", View { tiers }).tagged(tag))
}

/// Replace tiers
///
/// Replaces all tiers at once. A restricted API key cannot replace tiers.
#[utoipa::path(put, path = "/v1/tiers", operation_id = "putTiers", tag = "Gateway",
    params(Wait, IfMatch), request_body = Document, security(("credential" = ["gateway:tiers:update"])),
    responses(
        (status = 200, description = "The current tiers, and enforcement progress.", body = Answer<Changed>,
            headers(("ETag" = String, description = "For `If-Match`."))),
        (status = 409, description = "A tier that would be removed is in use by an account or by \
        a key that is not revoked."),
    ))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(document): Body<Document>,
) -> Result<Answer<Changed>, ApiError> {
    let acting = session.acting_unrestricted(&app, "gateway:tiers:update", Lasting::Tiers)?;
    let patience = params.patience()?;
    params.finish()?;
    let tiers = document.check()?;
    let revision = acting.put_tiers(tiers.clone()).await?;
    info!(user = session.caller.user_id, revision, "tiers changed");
    let enforcement = app.enforced(revision, patience).await;
    let tag = tiers.entity_tag();
    Ok(Answer::ok("Tiers updated successfully", Changed { tiers, enforcement }).tagged(tag))
}
