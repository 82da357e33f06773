//! Calls of a caller about itself, which require no permission.

use axum::extract::State;
use latchkey_model::permissions::MANAGEMENT;
use latchkey_model::role::Role;
use latchkey_model::secret::Password;
use latchkey_model::selection::Selection;
use latchkey_store::{Actor, Credential, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::{Answer, Done};
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::fields;
use super::openapi::texts;
use latchkey_server::password::{Party, Rank};

/// The caller.
#[derive(Serialize, ToSchema)]
#[schema(as = Myself)]
pub(crate) struct Myself {
    #[schema(value_type = texts::AccountId)]
    account_id: String,
    /// True if this is the operator's account.
    operator: bool,
    #[schema(value_type = texts::Word)]
    tier: String,
    /// The calling user, or the owner of the calling key.
    #[schema(value_type = texts::UserId)]
    user_id: String,
    /// The email address of a calling user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = texts::Email, nullable = false)]
    email: Option<String>,
    /// The id of a calling API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = texts::KeyId, nullable = false)]
    key_id: Option<String>,
    /// The patterns of the permissions that the caller holds.
    permissions: Vec<String>,
    #[schema(value_type = texts::Subaccounts)]
    subaccounts: Selection,
}

/// Get the caller
///
/// Describes the session's user or the API key that makes the call.
#[utoipa::path(get, path = "/v1/sessions/current", operation_id = "getCaller", tag = "Sessions",
    security(("credential" = [])),
    responses((status = 200, description = "The caller.", body = Answer<Myself>)))]
pub(crate) async fn get(session: Session, params: Params) -> Result<Answer<Myself>, ApiError> {
    params.finish()?;
    let caller = session.caller;
    let (email, key_id) = match caller.actor {
        Actor::User { email, .. } => (Some(email), None),
        Actor::Key { id, .. } => (None, Some(id)),
        Actor::System | Actor::Unknown => (None, None),
    };
    let myself = Myself {
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

/// The roles, permissions, subaccounts and scope that a caller can grant to keys and users.
#[derive(Serialize, ToSchema)]
#[schema(as = Grantable)]
pub(crate) struct Grantable {
    /// The permissions required by API calls and route rules that the caller holds.
    permissions: BTreeSet<String>,
    /// The patterns of all permissions that the caller holds.
    patterns: Vec<String>,
    roles: Vec<Role>,
    /// `"all"`, or the ids of the subaccounts that the caller may act on.
    #[schema(value_type = texts::Subaccounts)]
    subaccounts: Selection,
    /// `"all"`, or the services in the calling key's scope.
    #[schema(value_type = texts::Scope)]
    scope: Selection,
}

/// List grantable permissions
///
/// Lists what the caller holds and can therefore grant to keys and users.
#[utoipa::path(get, path = "/v1/keys/allowed-permissions", operation_id = "listAllowedPermissions", tag = "Keys",
    security(("credential" = [])),
    responses((status = 200, description = "The permissions, roles, subaccounts and services that \
    can be granted.", body = Answer<Grantable>)))]

pub(crate) async fn allowed_permissions(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<Grantable>, ApiError> {
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
    let grantable = Grantable {
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

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange)]
pub(crate) struct PasswordChange {
    #[schema(value_type = String, format = Password)]
    current_password: Password,
    #[schema(value_type = String, format = Password, min_length = 12)]
    new_password: Password,
}

/// Change your password
///
/// Ends all your other sessions.
#[utoipa::path(put, path = "/v1/users/me/password", operation_id = "changePassword", tag = "Users",
    security(("credential" = [])),
    request_body = PasswordChange,
    responses((status = 200, description = "The password is changed.", body = Done)))]
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(request): Body<PasswordChange>,
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
