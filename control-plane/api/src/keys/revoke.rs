//! `DELETE /v1/keys/{id}`: revokes a key.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::clock::rfc3339;
use std::sync::Arc;
use tracing::info;

use crate::App;
use crate::error::ApiError;
use crate::extract::{Id, Params, Session};
use crate::openapi::parameters::{IfMatch, KeyPath, Wait};
use crate::response::Answer;

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
    id: Id,
) -> Result<Answer<types::RevokedKey>, ApiError> {
    let acting = session.acting(&app, "account:apikeys:delete")?;
    let timeout = params.timeout()?;
    params.finish()?;
    let id = id.or(ApiError::KeyNotFound)?;

    let revoked = acting.revoke_key(id).await?;
    info!(
        key = revoked.id,
        user = session.caller.user_id,
        revision = revoked.revision,
        "key revoked"
    );

    let enforcement = app.enforced(revoked.revision, timeout).await;
    let data = types::RevokedKey {
        key_id: revoked.id,
        revoked_at: rfc3339(revoked.revoked_at),
        enforcement,
    };
    Ok(Answer::ok("API key revoked successfully", data))
}
