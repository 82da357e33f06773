//! `/v1/tiers`: names for limits, for the operator to define.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::info;

use super::App;
use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::fields;
use crate::enforcement::Enforcement;
use crate::json::Object;
use crate::tier::Tier;

/// All of them, in order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    tiers: Vec<Object<Tier>>,
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
                return Err(ApiError::field(&field, "is the name of another tier as well"));
            }
        }
        Ok(tiers)
    }
}

#[derive(Serialize)]
pub(super) struct View {
    tiers: Vec<Tier>,
}

#[derive(Serialize)]
pub(super) struct Changed {
    tiers: Vec<Tier>,
    enforcement: Enforcement,
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<View>, ApiError> {
    caller.require("gateway:tiers:read")?;
    params.finish()?;
    let tiers = app.store.tiers().await?;
    Ok(Answer::ok("Tiers retrieved successfully", View { tiers }))
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(document): Body<Document>,
) -> Result<Answer<Changed>, ApiError> {
    let acting = session.acting(&app, "gateway:tiers:update")?;
    let patience = params.patience()?;
    params.finish()?;
    let tiers = document.check()?;
    let revision = acting.put_tiers(tiers.clone()).await?;
    info!(user = session.caller.user_id, revision, "tiers changed");
    let enforcement = app.enforced(revision, patience).await;
    Ok(Answer::ok("Tiers updated successfully", Changed { tiers, enforcement }))
}
