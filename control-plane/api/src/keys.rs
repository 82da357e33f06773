//! `/v1/keys`: creates, shows and revokes keys.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::clock::rfc3339;
use latchkey_model::entity_tag::{EntityTag, Tagged as _};
use latchkey_model::random;
use latchkey_policy::key::PlainKey;
use latchkey_store::{Caller, Key, NewKey, Outcome};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;
use utoipa::ToSchema;

use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Params, Session};
use super::key_view::KeyView;
use super::openapi::parameters::{IdempotencyKey, IfMatch, KeyPath, Wait};
use super::openapi::texts;
use super::repeatable::{self, Made, Repeatable};
use super::{App, new_key, usage};
use latchkey_server::Enforcement;

#[derive(Serialize, ToSchema)]
#[schema(as = GeneratedKey)]
pub(crate) struct Generated {
    #[serde(flatten)]
    #[schema(value_type = KeyView)]
    pub(crate) key: Made<KeyView>,
    /// The key with its secret, returned only once. Absent if the call was repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<texts::ApiKey>, nullable = false)]
    pub(crate) api_key: Option<String>,
    /// True if this call repeats an earlier one with the same `Idempotency-Key`. Nothing was
    /// changed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) replayed: Option<bool>,
    pub(crate) enforcement: Enforcement,
}

impl Generated {
    /// Returns a key with its new secret, once the secret is enforced or after `patience`.
    pub(crate) async fn new(
        app: &App,
        outcome: Outcome<(Key, PlainKey, u64)>,
        patience: Duration,
        now: i64,
    ) -> (Self, Option<EntityTag>) {
        let (key, api_key, revision, tag) = match outcome {
            Outcome::New((key, secret, revision)) => {
                let (tag, api_key) = (key.entity_tag(), secret.expose().to_owned());
                (
                    Made::New(KeyView::new(key, now)),
                    Some(api_key),
                    revision,
                    Some(tag),
                )
            }
            Outcome::Repeated(recorded) => (
                Made::Repeated(recorded.data),
                None,
                recorded.revision.unwrap_or_default(),
                None,
            ),
        };
        let enforcement = app.enforced(revision, patience).await;
        (
            Self {
                replayed: key.replayed(),
                key,
                api_key,
                enforcement,
            },
            tag,
        )
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeyWithUsage)]
pub(crate) struct Shown {
    #[serde(flatten)]
    key: KeyView,
    usage: usage::OfKey,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RevokedKey)]
pub(crate) struct Revoked {
    #[schema(value_type = texts::KeyId)]
    key_id: String,
    #[schema(value_type = texts::Time)]
    revoked_at: String,
    enforcement: Enforcement,
}

/// Generate an API key
///
/// `data.api_key` is returned only once. You can give a key only what you hold. A calling API key
/// can give only what it has itself or what its `issues` settings allow: environment, tier, limits,
/// services, subaccounts, expiry and addresses. With a calling API key, omitted environment, tier,
/// limits, scope, expiry and IP lists default to its own or to its `issues` settings.
///
/// Repeating the call with the same `Idempotency-Key` within 24 hours creates no second key and
/// returns 200 without `api_key`.
#[utoipa::path(post, path = "/v1/keys/generate", operation_id = "generateKey", tag = "Keys",
    params(Wait, IdempotencyKey), request_body = new_key::Request,
    security(("credential" = ["account:apikeys:create"])),
    responses(
        (status = 201, description = "The new key.", body = Answer<Generated>,
            headers(("ETag" = String, description = "For `If-Match`."))),
        (status = 200, description = "The key of the repeated call.", body = Answer<Generated>),
        (status = 409, description = "Another key that has not expired has the name, or the \
        `Idempotency-Key` was used with a different body."),
    ))]
pub(crate) async fn generate(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Repeatable { request, call }: Repeatable<new_key::Request>,
) -> Result<Answer<Generated>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:create")?;
    let patience = params.patience()?;
    params.finish()?;
    let now = app.clock.now();
    let settings = request.check(now, &session.caller)?;
    let secret = app
        .key_format
        .generate(settings.environment, random::fill)?;
    let (digest, masked) = (secret.digest(), secret.masked());
    let new = move |caller: &Caller, there_are: &[String]| {
        let settings = caller.may_make(settings, there_are)?;
        let (account_id, user_id) = (caller.account_id.clone(), caller.user_id.clone());
        Ok::<_, ApiError>(NewKey {
            account_id,
            user_id,
            digest,
            masked,
            imported: false,
            settings,
        })
    };
    let data = move |key: &Key| repeatable::recorded(&KeyView::new(key.clone(), now));
    let outcome = acting.repeatable(call).create_key(new, data).await?;
    if let Outcome::New((key, revision)) = &outcome {
        info!(key = key.id, user = key.user_id, revision, "key generated");
    }
    let outcome = outcome.map(|(key, revision)| (key, secret, revision));
    let (data, tag) = Generated::new(&app, outcome, patience, now).await;
    Ok(Answer::with_status(data.key.status(), "API key generated successfully", data).tagged(tag))
}

/// Get an API key
///
/// Also returns revoked keys.
#[utoipa::path(get, path = "/v1/keys/{key_id}", operation_id = "getKey", tag = "Keys",
    params(KeyPath), security(("credential" = ["account:apikeys:read"])),
    responses((status = 200, description = "The key and its usage.", body = Answer<Shown>,
        headers(("ETag" = String, description = "Identifies this version of the key's editable \
        fields, for `If-Match`.")))))]
pub(crate) async fn get(
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
    let usage = app
        .store
        .key_usage(&caller.account_id, &id, now)
        .await?
        .into();
    let tag = key.entity_tag();
    let shown = Shown {
        key: KeyView::new(key, now),
        usage,
    };
    Ok(Answer::ok("API key retrieved successfully", shown).tagged(tag))
}

/// Revoke an API key
///
/// Permanently revokes the key. Repeating the call is safe and returns the same result.
#[utoipa::path(delete, path = "/v1/keys/{key_id}", operation_id = "revokeKey", tag = "Keys",
    params(KeyPath, Wait, IfMatch), security(("credential" = ["account:apikeys:delete"])),
    responses((status = 200, description = "The time of the revocation, and enforcement \
    progress.", body = Answer<Revoked>)))]
pub(crate) async fn revoke(
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
    info!(
        key = revoked.id,
        user = session.caller.user_id,
        revision = revoked.revision,
        "key revoked"
    );
    let enforcement = app.enforced(revoked.revision, patience).await;
    let data = Revoked {
        key_id: revoked.id,
        revoked_at: rfc3339(revoked.revoked_at),
        enforcement,
    };
    Ok(Answer::ok("API key revoked successfully", data))
}
