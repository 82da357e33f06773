//! `/v1/keys`: making, listing, showing and revoking keys.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::{App, new_key};
use crate::clock::rfc3339;
use crate::enforcement::Enforcement;
use crate::ip_list::IpList;
use crate::random;
use crate::store::{Key, NewKey};

const MAX_LIMIT: u32 = 1_000;
const DEFAULT_LIMIT: u32 = 100;
const MAX_WAIT_MS: u32 = 30_000;
const DEFAULT_WAIT_MS: u32 = 1_000;

/// A key as it is shown.
#[derive(Serialize)]
pub(super) struct KeyView {
    key_id: String,
    name: String,
    description: Option<String>,
    key_prefix: String,
    environment: &'static str,
    tier: &'static str,
    rate_limit: u32,
    // Every key of this version is good for all services; nothing narrows that yet.
    scope: &'static str,
    roles: [(); 0],
    permissions: [(); 0],
    allowed_subaccounts: [(); 0],
    allowed_ips: IpList,
    denied_ips: IpList,
    expires_at: Option<String>,
    owner: String,
    active: bool,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl KeyView {
    fn new(key: Key, now: i64) -> Self {
        let expired = key.expires_at.is_some_and(|second| second <= now);
        Self {
            active: key.revoked_at.is_none() && !key.disabled && !expired,
            key_id: key.id,
            name: key.name,
            description: key.description,
            key_prefix: key.masked,
            environment: key.environment.as_str(),
            tier: key.tier.as_str(),
            rate_limit: key.tier.rate_limit(),
            scope: "all",
            roles: [],
            permissions: [],
            allowed_subaccounts: [],
            allowed_ips: key.allowed_ips,
            denied_ips: key.denied_ips,
            expires_at: key.expires_at.map(rfc3339),
            owner: key.user_id,
            created_at: rfc3339(key.created_at),
            updated_at: rfc3339(key.updated_at),
            revoked_at: key.revoked_at.map(rfc3339),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Generated {
    #[serde(flatten)]
    key: KeyView,
    /// The only sight of it.
    api_key: String,
    enforcement: Enforcement,
}

#[derive(Serialize)]
pub(super) struct List {
    keys: Vec<KeyView>,
    total: u64,
}

#[derive(Serialize)]
pub(super) struct Revoked {
    key_id: String,
    revoked_at: String,
    enforcement: Enforcement,
}

pub(super) async fn generate(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    mut params: Params,
    Body(request): Body<new_key::Request>,
) -> Result<Answer<Generated>, ApiError> {
    let patience = patience(&mut params)?;
    params.finish()?;
    let now = app.clock.now();
    let wanted = request.check(now)?;
    let secret = app.key_format.generate(wanted.environment, random::fill)?;
    let tier = wanted.tier.unwrap_or(caller.tier);
    let key = NewKey {
        description: wanted.description,
        expires_at: wanted.expires_at,
        allowed_ips: wanted.allowed_ips,
        denied_ips: wanted.denied_ips,
        ..NewKey::new(&caller.account_id, &caller.user_id, &wanted.name, &secret, tier, wanted.environment)
    };
    let created = app.store.create_keys(&[key], now).await?;
    let key = created.keys.into_iter().next().ok_or(ApiError::Internal("no key was created".to_owned()))?;
    info!(key = key.id, user = caller.user_id, revision = created.revision, "key generated");
    let enforcement = app.enforced(created.revision, patience).await;
    let api_key = secret.expose().to_owned();
    let data = Generated { key: KeyView::new(key, now), api_key, enforcement };
    Ok(Answer::created("API key generated successfully", data))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    mut params: Params,
) -> Result<Answer<List>, ApiError> {
    let limit = params.number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT)?;
    let offset = params.number("offset", 0..=u32::MAX, 0)?;
    params.finish()?;
    let (keys, total) = app.store.keys(&caller.account_id, limit, offset).await?;
    let now = app.clock.now();
    let keys = keys.into_iter().map(|key| KeyView::new(key, now)).collect();
    Ok(Answer::ok("API keys retrieved successfully", List { keys, total }))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<KeyView>, ApiError> {
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::KeyNotFound)?;
    let key = app.store.key(&caller.account_id, &id).await?;
    Ok(Answer::ok("API key retrieved successfully", KeyView::new(key, app.clock.now())))
}

/// Repeated, it answers the same, so that a client that lost the answer can ask again.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<Revoked>, ApiError> {
    let patience = patience(&mut params)?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::KeyNotFound)?;
    let revoked = app.store.revoke_keys(&caller.account_id, &[id], app.clock.now()).await?;
    let revoked = revoked.into_iter().next().ok_or(ApiError::KeyNotFound)?;
    info!(key = revoked.id, user = caller.user_id, revision = revoked.revision, "key revoked");
    let enforcement = app.enforced(revoked.revision, patience).await;
    let data = Revoked { key_id: revoked.id, revoked_at: rfc3339(revoked.revoked_at), enforcement };
    Ok(Answer::ok("API key revoked successfully", data))
}

fn patience(params: &mut Params) -> Result<Duration, ApiError> {
    Ok(Duration::from_millis(params.number("wait_ms", 0..=MAX_WAIT_MS, DEFAULT_WAIT_MS)?.into()))
}
