//! `POST /v1/keys/{id}/regenerate`: a new secret for a key. Who has it can act with the key, so this takes what it would
//! take to make the key.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::key_view::KeyView;
use super::keys::Generated;
use super::openapi::parameters::{KeyPath, Wait};
use crate::json::Whole;
use crate::random;
use crate::store::{Caller, Key};

/// 30 days.
const MAX_OVERLAP: u32 = 30 * 24 * 60 * 60;

/// How a key is to get a new secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Regeneration)]
pub(super) struct Request {
    /// For so long the old secret is good as well.
    #[serde(default)]
    #[schema(value_type = u64, maximum = 2_592_000)]
    overlap_seconds: Whole,
}

/// Regenerate an API key
///
/// Gives the same key a new secret; the old one stops at once, or after an overlap. Both count in the same limits.
/// Repeated, it makes yet another secret, and ends an overlap.
#[utoipa::path(post, path = "/v1/keys/{key_id}/regenerate", operation_id = "regenerateKey", tag = "Keys",
    params(KeyPath, Wait), request_body = Request, security(("credential" = ["account:apikeys:update"])),
    responses(
        (status = 200, description = "The key, with the only sight of its new secret.", body = Answer<Generated>),
        (status = 409, description = "The key is revoked."),
    ))]
pub(super) async fn regenerate(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
    Body(Request { overlap_seconds: Whole(overlap_seconds) }): Body<Request>,
) -> Result<Answer<Generated>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:update")?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::KeyNotFound)?;
    if overlap_seconds > MAX_OVERLAP {
        return Err(ApiError::field("overlap_seconds", format_args!("must be {MAX_OVERLAP} at most")));
    }
    let format = app.key_format.clone();
    let new = move |caller: &Caller, key: &Key| {
        caller.may_have(key)?;
        Ok::<_, ApiError>(format.generate(key.settings.environment, random::fill)?)
    };
    let (key, secret, revision) = acting.regenerate_key(id, overlap_seconds, new).await?;
    info!(key = key.id, user = session.caller.user_id, revision, overlap_seconds, "key regenerated");
    let enforcement = app.enforced(revision, patience).await;
    let api_key = secret.expose().to_owned();
    let data = Generated { key: KeyView::new(key, app.clock.now()), api_key, enforcement };
    Ok(Answer::ok("API key regenerated successfully", data))
}
