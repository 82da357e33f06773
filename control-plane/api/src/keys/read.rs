//! `GET /v1/keys/{id}`: shows a key.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::entity_tag::Tagged as _;
use std::sync::Arc;

use super::view;
use crate::caller::Rules as _;
use crate::error::ApiError;
use crate::extract::{Id, Params, Session};
use crate::openapi::parameters::KeyPath;
use crate::response::Answer;
use crate::{App, usage};

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
    id: Id,
) -> Result<Answer<types::KeyWithUsage>, ApiError> {
    caller.require("account:apikeys:read")?;
    params.finish()?;
    let id = id.or(ApiError::KeyNotFound)?;

    let now = app.clock.now();
    let key = app.store.key(&caller.account_id, &id).await?;
    let usage = app.store.key_usage(&caller.account_id, &id, now).await?;
    let tag = key.entity_tag();
    let shown = types::KeyWithUsage {
        key: view::key(key, now),
        usage: usage::of_key(usage),
    };
    Ok(Answer::ok("API key retrieved successfully", shown).tagged(tag))
}
