//! Calls of a caller about itself, which require no permission.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::permissions::MANAGEMENT;
use latchkey_model::role::Role;
use latchkey_server::password::{Party, Rank};
use latchkey_store::{Actor, Credential, StoreError};
use std::sync::Arc;
use tracing::info;

use super::App;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::fields;
use super::response::{Answer, Done};

/// Get the caller
///
/// Describes the session's user or the API key that makes the call.
#[utoipa::path(get, path = "/v1/sessions/current", operation_id = "getCaller", tag = "Sessions",
    security(("credential" = [])),
    responses((status = 200, description = "The caller.", body = Answer<types::Myself>)))]
pub(crate) async fn get(
    session: Session,
    params: Params,
) -> Result<Answer<types::Myself>, ApiError> {
    params.finish()?;

    let caller = session.caller;
    let (email, key_id) = match caller.actor {
        Actor::User { email, .. } => (Some(email), None),
        Actor::Key { id, .. } => (None, Some(id)),
        Actor::System | Actor::Unknown => (None, None),
    };
    let myself = types::Myself {
        account_id: caller.account_id,
        operator: caller.operator,
        tier: caller.tier,
        user_id: caller.user_id,
        email,
        key_id,
        permissions: caller
            .grants
            .patterns()
            .iter()
            .map(ToString::to_string)
            .collect(),
        subaccounts: caller.subaccounts,
    };
    Ok(Answer::ok("Session retrieved successfully", myself))
}

/// List grantable permissions
///
/// Lists what the caller holds and can therefore grant to keys and users.
#[utoipa::path(get, path = "/v1/keys/allowed-permissions", operation_id = "listAllowedPermissions", tag = "Keys",
    security(("credential" = [])),
    responses((status = 200, description = "The permissions, roles, subaccounts and services that \
    can be granted.", body = Answer<types::Grantable>)))]

pub(crate) async fn allowed_permissions(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<types::Grantable>, ApiError> {
    params.finish()?;

    let routes = app.store.routes().await?;
    let routes = routes
        .check()
        .map_err(|_| StoreError::Damaged("a route rule"))?;
    let asked = routes
        .rules()
        .iter()
        .filter_map(|rule| rule.permission())
        .map(|permission| permission.as_str());
    let known = MANAGEMENT.into_iter().chain(asked);
    let grantable = types::Grantable {
        permissions: known
            .filter(|permission| caller.holds(permission))
            .map(str::to_owned)
            .collect(),
        patterns: caller
            .grants
            .patterns()
            .iter()
            .map(ToString::to_string)
            .collect(),
        roles: Role::all()
            .filter(|role| caller.grants.cover_role(*role))
            .collect(),
        subaccounts: caller.subaccounts,
        scope: caller.scope,
    };
    Ok(Answer::ok(
        "Allowed permissions retrieved successfully",
        grantable,
    ))
}

/// Change your password
///
/// Ends all your other sessions.
#[utoipa::path(put, path = "/v1/users/me/password", operation_id = "changePassword", tag = "Users",
    security(("credential" = [])),
    request_body = types::PasswordChange,
    responses((status = 200, description = "The password is changed.", body = Done)))]
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(request): Body<types::PasswordChange>,
) -> Result<Answer<()>, ApiError> {
    let Actor::User { id, email } = &session.caller.actor else {
        return Err(ApiError::Session);
    };
    params.finish()?;

    fields::password("new_password", &request.new_password)?;
    let Credential::Session(token) = &session.credential else {
        return Err(ApiError::Session);
    };
    // Limited, so that a stolen session cannot be used to guess the password.
    let tried = app
        .logins
        .begin_in_session(&hex::encode(token.as_bytes()), app.clock.now());
    let tried = tried.map_err(|seconds| ApiError::TooManyLogins { seconds })?;
    let stored = app
        .store
        .credentials(email)
        .await?
        .filter(|user| user.user_id == *id);
    let stored = stored.ok_or(ApiError::Session)?.password_hash;
    let caller = Party::Caller(id.clone());
    if !app
        .passwords
        .verify(
            request.current_password,
            Some(stored.clone()),
            Rank::Known,
            &caller,
        )
        .await?
    {
        return Err(ApiError::field("current_password", "is not your password"));
    }
    tried.forgive();
    let hash = app.passwords.hash(request.new_password, id).await?;
    session
        .acting_for_oneself(&app)
        .change_password(stored, hash)
        .await?;
    info!(user = id, "password changed");
    Ok(Answer::done("Password changed successfully"))
}
