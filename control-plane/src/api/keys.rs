//! `/v1/keys`: making, showing and revoking keys.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::key_view::KeyView;
use super::openapi::parameters::{KeyPath, Wait};
use super::openapi::texts;
use super::{App, new_key, usage};
use crate::clock::rfc3339;
use crate::enforcement::Enforcement;
use crate::random;
use crate::store::{Caller, NewKey};

#[derive(Serialize, ToSchema)]
#[schema(as = GeneratedKey)]
pub(super) struct Generated {
    #[serde(flatten)]
    pub(super) key: KeyView,
    /// The only sight of it.
    #[schema(value_type = texts::ApiKey)]
    pub(super) api_key: String,
    pub(super) enforcement: Enforcement,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeyWithUsage)]
pub(super) struct Shown {
    #[serde(flatten)]
    key: KeyView,
    usage: usage::OfKey,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RevokedKey)]
pub(super) struct Revoked {
    #[schema(value_type = texts::KeyId)]
    key_id: String,
    #[schema(value_type = texts::Time)]
    revoked_at: String,
    enforcement: Enforcement,
}

/// Generate an API key
///
/// `data.api_key` is the only sight of the key itself. Nobody can give a key what they do not hold themselves. A key that
/// calls gives no more than it has, or than a session let it issue: environment, tier, limits, services, subaccounts,
/// expiry and addresses. What is left out is as it is with the calling key.
#[utoipa::path(post, path = "/v1/keys/generate", operation_id = "generateKey", tag = "Keys",
    params(Wait), request_body = new_key::Request, security(("credential" = ["account:apikeys:create"])),
    responses(
        (status = 201, description = "The new key.", body = Answer<Generated>),
        (status = 409, description = "A live key of the account has the name."),
    ))]
pub(super) async fn generate(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(request): Body<new_key::Request>,
) -> Result<Answer<Generated>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:create")?;
    let patience = params.patience()?;
    params.finish()?;
    let now = app.clock.now();
    let settings = request.check(now, &session.caller)?;
    let secret = app.key_format.generate(settings.environment, random::fill)?;
    let (digest, masked) = (secret.digest(), secret.masked());
    let new = move |caller: &Caller, there_are: &[String]| {
        let settings = caller.may_make(settings, there_are)?;
        let (account_id, user_id) = (caller.account_id.clone(), caller.user_id.clone());
        Ok::<_, ApiError>(NewKey { account_id, user_id, digest, masked, imported: false, settings })
    };
    let (key, revision) = acting.create_key(new).await?;
    info!(key = key.id, user = key.user_id, revision, "key generated");
    let enforcement = app.enforced(revision, patience).await;
    let api_key = secret.expose().to_owned();
    let data = Generated { key: KeyView::new(key, now), api_key, enforcement };
    Ok(Answer::created("API key generated successfully", data))
}

/// Get an API key
///
/// Also one that is revoked.
#[utoipa::path(get, path = "/v1/keys/{key_id}", operation_id = "getKey", tag = "Keys",
    params(KeyPath), security(("credential" = ["account:apikeys:read"])),
    responses((status = 200, description = "The key, and how much it is used.", body = Answer<Shown>)))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<Shown>, ApiError> {
    caller.require("account:apikeys:read")?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::KeyNotFound)?;
    let now = app.clock.now();
    let key = app.store.key(&caller.account_id, &id).await?;
    let usage = app.store.key_usage(&caller.account_id, &id, now).await?.into();
    Ok(Answer::ok("API key retrieved successfully", Shown { key: KeyView::new(key, now), usage }))
}

/// Revoke an API key
///
/// For good. Repeated, it answers the same, so that a client that lost the answer can ask again.
#[utoipa::path(delete, path = "/v1/keys/{key_id}", operation_id = "revokeKey", tag = "Keys",
    params(KeyPath, Wait), security(("credential" = ["account:apikeys:delete"])),
    responses((status = 200, description = "When it was revoked, and how far that has come.", body = Answer<Revoked>)))]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<Revoked>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:delete")?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::KeyNotFound)?;
    let revoked = acting.revoke_key(id).await?;
    info!(key = revoked.id, user = session.caller.user_id, revision = revoked.revision, "key revoked");
    let enforcement = app.enforced(revoked.revision, patience).await;
    let data = Revoked { key_id: revoked.id, revoked_at: rfc3339(revoked.revoked_at), enforcement };
    Ok(Answer::ok("API key revoked successfully", data))
}
