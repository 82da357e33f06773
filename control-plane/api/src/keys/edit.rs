//! `PATCH /v1/keys/{id}`: the editable fields of a key and who may edit them. Narrowing a key
//! requires only the permission. Widening it requires everything that creating it would. Other
//! fields are refused.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::entity_tag::Tagged as _;
use latchkey_store::{Caller, Key, KeyChange};
use std::sync::Arc;
use tracing::info;

use super::view;
use crate::caller::Rules as _;
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, Session};
use crate::openapi::parameters::{IfMatch, KeyPath, Wait};
use crate::response::Answer;
use crate::{App, fields};

fn check(request: types::KeyEdit, now: i64) -> Result<KeyChange, ApiError> {
    let expires_at = request.expires_at.map(|expiry| {
        expiry
            .map(|expiry| fields::expiry("expires_at", expiry, now))
            .transpose()
    });
    Ok(KeyChange {
        name: request
            .name
            .map(|name| fields::name("name", &name))
            .transpose()?,
        description: request.description.map(fields::description).transpose()?,
        expires_at: expires_at.transpose()?,
        allowed_ips: request.allowed_ips,
        denied_ips: request.denied_ips,
        disabled: request.active.map(|active| !active),
        limits: request.limits,
    })
}

/// Edit an API key
///
/// Omitted fields stay the same. Narrowing a key requires only the permission. Widening a key
/// requires everything that creating it would require. If the caller is an API key, the edited key
/// must stay within the calling key's bounds, and a key cannot widen itself. Scope, roles,
/// permissions, subaccounts, environment, tier and `issues` cannot be edited. Repeating the call
/// changes nothing and waits for enforcement again.
#[utoipa::path(patch, path = "/v1/keys/{key_id}", operation_id = "editKey", tag = "Keys",
    params(KeyPath, Wait, IfMatch), request_body = types::KeyEdit, security(("credential" = ["account:apikeys:update"])),
    responses(
        (status = 200, description = "The updated key, and enforcement progress.", body = Answer<types::EditedKey>,
            headers(("ETag" = String, description = "Identifies this version of the key's \
            editable fields, for `If-Match`."))),
        (status = 409, description = "Another key that has not expired has the name, or the key \
        is revoked."),
    ))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Id,
    Body(request): Body<types::KeyEdit>,
) -> Result<Answer<types::EditedKey>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:update")?;
    let timeout = params.timeout()?;
    params.finish()?;
    let id = id.or(ApiError::KeyNotFound)?;

    let now = app.clock.now();
    let change = check(request, now)?;
    let edit = move |caller: &Caller, key: &mut Key| {
        let (before, limited) = (key.clone(), change.limited_windows());
        change.apply(key);
        caller.ensure_can_edit(&before, key, &limited)
    };
    let (key, revision) = acting.edit_key(id, edit).await?;
    info!(
        key = key.id,
        user = session.caller.user_id,
        revision,
        "key edited"
    );

    let enforcement = app.enforced(revision, timeout).await;
    let tag = key.entity_tag();
    Ok(Answer::ok(
        "API key updated successfully",
        types::EditedKey {
            key: view::key(key, now),
            enforcement,
        },
    )
    .tagged(tag))
}
