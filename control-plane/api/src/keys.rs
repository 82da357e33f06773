//! `/v1/keys`: creates, shows and revokes keys.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_api_types::{self as types, Made};
use latchkey_model::clock::rfc3339;
use latchkey_model::entity_tag::{EntityTag, Tagged as _};
use latchkey_model::random;
use latchkey_policy::key::PlainKey;
use latchkey_store::{Caller, Key, NewKey, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Params, Session};
use super::openapi::parameters::{IdempotencyKey, IfMatch, KeyPath, Wait};
use super::repeatable::{self, Repeatable};
use super::{App, key_view, new_key, usage};

/// Returns a key with its new secret, once the secret is enforced or after `patience`.
pub(crate) async fn generated(
    app: &App,
    outcome: Outcome<(Key, PlainKey, u64)>,
    patience: Duration,
    now: i64,
) -> (types::GeneratedKey, Option<EntityTag>) {
    let (key, api_key, revision, tag) = match outcome {
        Outcome::New((key, secret, revision)) => {
            let (tag, api_key) = (key.entity_tag(), secret.expose().to_owned());
            (
                Made::New(key_view::view(key, now)),
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
        types::GeneratedKey {
            replayed: key.replayed(),
            key,
            api_key,
            enforcement,
        },
        tag,
    )
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
    params(Wait, IdempotencyKey), request_body = types::NewKey,
    security(("credential" = ["account:apikeys:create"])),
    responses(
        (status = 201, description = "The new key.", body = Answer<types::GeneratedKey>,
            headers(("ETag" = String, description = "For `If-Match`."))),
        (status = 200, description = "The key of the repeated call.", body = Answer<types::GeneratedKey>),
        (status = 409, description = "Another key that has not expired has the name, or the \
        `Idempotency-Key` was used with a different body."),
    ))]
pub(crate) async fn generate(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Repeatable { request, call }: Repeatable<types::NewKey>,
) -> Result<Answer<types::GeneratedKey>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:create")?;
    let patience = params.patience()?;
    params.finish()?;
    let now = app.clock.now();
    let settings = new_key::check(request, now, &session.caller)?;
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
    let data = move |key: &Key| repeatable::recorded(&key_view::view(key.clone(), now));
    let outcome = acting.repeatable(call).create_key(new, data).await?;
    if let Outcome::New((key, revision)) = &outcome {
        info!(key = key.id, user = key.user_id, revision, "key generated");
    }
    let outcome = outcome.map(|(key, revision)| (key, secret, revision));
    let (data, tag) = generated(&app, outcome, patience, now).await;
    Ok(Answer::with_status(
        repeatable::status(&data.key),
        "API key generated successfully",
        data,
    )
    .tagged(tag))
}

/// Get an API key
///
/// Also returns revoked keys.
#[utoipa::path(get, path = "/v1/keys/{key_id}", operation_id = "getKey", tag = "Keys",
    params(KeyPath), security(("credential" = ["account:apikeys:read"])),
    responses((status = 200, description = "The key and its usage.", body = Answer<types::KeyWithUsage>,
        headers(("ETag" = String, description = "Identifies this version of the key's editable \
        fields, for `If-Match`.")))))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<types::KeyWithUsage>, ApiError> {
    caller.require("account:apikeys:read")?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::KeyNotFound)?;
    let now = app.clock.now();
    let key = app.store.key(&caller.account_id, &id).await?;
    let usage = app.store.key_usage(&caller.account_id, &id, now).await?;
    let tag = key.entity_tag();
    let shown = types::KeyWithUsage {
        key: key_view::view(key, now),
        usage: usage::of_key(usage),
    };
    Ok(Answer::ok("API key retrieved successfully", shown).tagged(tag))
}

/// Revoke an API key
///
/// Permanently revokes the key. Repeating the call is safe and returns the same result.
#[utoipa::path(delete, path = "/v1/keys/{key_id}", operation_id = "revokeKey", tag = "Keys",
    params(KeyPath, Wait, IfMatch), security(("credential" = ["account:apikeys:delete"])),
    responses((status = 200, description = "The time of the revocation, and enforcement \
    progress.", body = Answer<types::RevokedKey>)))]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<types::RevokedKey>, ApiError> {
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
    let data = types::RevokedKey {
        key_id: revoked.id,
        revoked_at: rfc3339(revoked.revoked_at),
        enforcement,
    };
    Ok(Answer::ok("API key revoked successfully", data))
}
