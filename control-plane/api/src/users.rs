//! `/v1/users`: the account's users, with their roles and permissions.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::authority::Authority;
use latchkey_model::clock::rfc3339;
use latchkey_model::entity_tag::Tagged as _;
use latchkey_store::{Caller, DeletedUser, Lasting, NewUser, Total, User};
use std::sync::Arc;
use tracing::info;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Id, Params, Session};
use super::fields;
use super::list_reads::ListSession;
use super::openapi::parameters::{IfMatch, Page, UserPath, Wait};
use super::page::PageParams;
use super::response::Answer;

fn view(user: User) -> types::User {
    let Authority { roles, permissions } = user.authority;
    types::User {
        user_id: user.id,
        email: user.email,
        roles,
        permissions,
        subaccounts: user.subaccounts,
        disabled: user.disabled,
        created_at: rfc3339(user.created_at),
    }
}

/// List users
#[utoipa::path(get, path = "/v1/users", operation_id = "listUsers", tag = "Users",
    params(Page), security(("credential" = ["account:users:read"])),
    responses((status = 200, description = "A page of users, and the total number.", body = Answer<types::UserList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<types::UserList>, ApiError> {
    caller.require("account:users:read")?;
    let page = PageParams::take(&mut params, "users")?;
    params.finish()?;

    let found = app.store.users(&caller.account_id, &page.query).await?;

    let next_cursor = page.cursor(found.next.as_ref());
    let users = found.rows.into_iter().map(view).collect();
    let Total {
        count: total,
        is_estimate: total_is_estimate,
    } = found.total;
    Ok(Answer::ok(
        "Users retrieved successfully",
        types::UserList {
            users,
            total,
            total_is_estimate,
            next_cursor,
        },
    ))
}

/// Get a user
#[utoipa::path(get, path = "/v1/users/{user_id}", operation_id = "getUser", tag = "Users",
    params(UserPath), security(("credential" = ["account:users:read"])),
    responses((status = 200, description = "The user.", body = Answer<types::User>,
        headers(("ETag" = String, description = "Identifies this version of the user's editable \
        fields, for `If-Match`.")))))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Id,
) -> Result<Answer<types::User>, ApiError> {
    caller.require("account:users:read")?;
    params.finish()?;
    let id = id.or(ApiError::UserNotFound)?;
    let user = app.store.user(&caller.account_id, &id).await?;
    let tag = user.entity_tag();
    Ok(Answer::ok("User retrieved successfully", view(user)).tagged(tag))
}

/// Create a user
///
/// You can give a user only what you hold. A restricted API key cannot create users. A user without
/// keys affects no verdict, so the call does not wait for enforcement.
#[utoipa::path(post, path = "/v1/users", operation_id = "createUser", tag = "Users",
    request_body = types::NewUser, security(("credential" = ["account:users:create"])),
    responses(
        (status = 201, description = "The new user.", body = Answer<types::User>),
        (status = 409, description = "The email address is already in use."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(request): Body<types::NewUser>,
) -> Result<Answer<types::User>, ApiError> {
    let acting = session.acting_unrestricted(&app, "account:users:create", Lasting::User)?;
    params.finish()?;

    let email = fields::email("email", &request.email)?;
    fields::password("password", &request.password)?;
    let authority = Authority {
        roles: request.roles,
        permissions: request.permissions,
    };
    check_authority(&authority)?;
    if let Some(subaccounts) = &request.subaccounts {
        fields::selection("subaccounts", subaccounts)?;
    }
    let password_hash = app
        .passwords
        .hash(request.password, &session.caller.user_id)
        .await?;
    let new = move |caller: &Caller, existing: &[String]| {
        caller.ensure_can_grant(&authority)?;
        let subaccounts = request
            .subaccounts
            .unwrap_or_else(|| caller.subaccounts.clone().among(existing));
        caller.ensure_can_select("subaccounts", &subaccounts, existing)?;
        caller.ensure_can_delegate("subaccounts", &subaccounts)?;
        Ok::<_, ApiError>(NewUser {
            email,
            password_hash,
            authority,
            subaccounts,
        })
    };
    let user = acting.create_user(new).await?;
    info!(user = user.id, by = session.caller.user_id, "user created");
    Ok(Answer::created("User created successfully", view(user)))
}

/// Edit a user
///
/// Omitted fields stay the same. You must hold all of the user's permissions, because whoever
/// changes a user can act as that user. For the same reason, a restricted API key cannot edit
/// users. What a user loses, their keys lose too.
#[utoipa::path(patch, path = "/v1/users/{user_id}", operation_id = "editUser", tag = "Users",
    params(UserPath, Wait, IfMatch), request_body = types::UserEdit, security(("credential" = ["account:users:update"])),
    responses(
        (status = 200, description = "The updated user, and enforcement progress.", body = Answer<types::EditedUser>,
            headers(("ETag" = String, description = "Identifies this version of the user's \
            editable fields, for `If-Match`."))),
        (status = 409, description = "The email address is already in use, or the account would \
        have no administrator left."),
    ))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Id,
    Body(mut request): Body<types::UserEdit>,
) -> Result<Answer<types::EditedUser>, ApiError> {
    let acting = session.acting_unrestricted(&app, "account:users:update", Lasting::User)?;
    let timeout = params.timeout()?;
    params.finish()?;
    let id = id.or(ApiError::UserNotFound)?;

    let email = request
        .email
        .as_deref()
        .map(|email| fields::email("email", email))
        .transpose()?;
    if let Some(subaccounts) = &request.subaccounts {
        fields::selection("subaccounts", subaccounts)?;
    }
    let password_hash = match request.password.take() {
        None => None,
        Some(password) => {
            fields::password("password", &password)?;
            Some(
                app.passwords
                    .hash(password, &session.caller.user_id)
                    .await?,
            )
        }
    };

    let with_password = password_hash.is_some();
    let edit = move |caller: &Caller, existing: &[String], user: &mut User| {
        caller.ensure_can_change(user)?;
        if with_password && caller.user_id == user.id {
            return Err(ApiError::field(
                "password",
                "of your own user is changed with PUT /v1/users/me/password",
            ));
        }
        apply(request, email, caller, existing, user)
    };
    let (user, revision) = acting.edit_user(id, password_hash, edit).await?;
    info!(
        user = user.id,
        by = session.caller.user_id,
        revision,
        "user changed"
    );

    let enforcement = app.enforced(revision, timeout).await;
    let tag = user.entity_tag();
    let edited = types::EditedUser {
        user: view(user),
        enforcement,
    };
    Ok(Answer::ok("User updated successfully", edited).tagged(tag))
}

/// Applies the edit to `user`, except for the password. Refuses to grant what the caller does not
/// hold.
fn apply(
    request: types::UserEdit,
    email: Option<String>,
    caller: &Caller,
    existing: &[String],
    user: &mut User,
) -> Result<(), ApiError> {
    if let Some(subaccounts) = request.subaccounts {
        // Subaccounts that the user has remain, even deleted ones.
        let known = [existing, user.subaccounts.listed().unwrap_or_default()].concat();
        caller.ensure_can_select("subaccounts", &subaccounts, &known)?;
        caller.ensure_can_delegate("subaccounts", &subaccounts)?;
        user.subaccounts = subaccounts;
    }
    if let Some(email) = email {
        user.email = email;
    }
    if let Some(roles) = request.roles {
        user.authority.roles = roles;
    }
    if let Some(permissions) = request.permissions {
        user.authority.permissions = permissions;
    }
    user.disabled = request.disabled.unwrap_or(user.disabled);

    check_authority(&user.authority)?;
    caller.ensure_can_grant(&user.authority)
}

/// Delete a user
///
/// Deletes the user, revokes their keys, ends their sessions and releases their email address. All
/// keys are refused from the returned revision on, however many there are; their records are
/// updated in the background. Repeating the call is safe and returns the same result.
#[utoipa::path(delete, path = "/v1/users/{user_id}", operation_id = "deleteUser", tag = "Users",
    params(UserPath, Wait, IfMatch), security(("credential" = ["account:users:delete"])),
    responses(
        (status = 200, description = "The number of keys revoked, and enforcement progress.", body = Answer<types::DeletedUser>),
        (status = 409, description = "The user is the caller, or the account would have no \
        administrator left."),
    ))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Id,
) -> Result<Answer<types::DeletedUser>, ApiError> {
    let acting = session.acting(&app, "account:users:delete")?;
    let timeout = params.timeout()?;
    params.finish()?;
    let id = id.or(ApiError::UserNotFound)?;

    let DeletedUser {
        user,
        revoked_keys,
        revision,
    } = acting.delete_user(id, Caller::ensure_can_change).await?;
    info!(
        user = user.id,
        by = session.caller.user_id,
        revoked_keys,
        revision,
        "user deleted"
    );

    let enforcement = app.enforced(revision, timeout).await;
    Ok(Answer::ok(
        "User deleted successfully",
        types::DeletedUser {
            user_id: user.id,
            revoked_keys,
            enforcement,
        },
    ))
}

fn check_authority(authority: &Authority) -> Result<(), ApiError> {
    fields::bounded("roles", &authority.roles)?;
    fields::bounded("permissions", &authority.permissions)
}
