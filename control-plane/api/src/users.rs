//! `/v1/users`: the account's users, with their roles and permissions.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::authority::{Authority, Grant};
use latchkey_model::clock::rfc3339;
use latchkey_model::entity_tag::Tagged as _;
use latchkey_model::json::given;
use latchkey_model::role::Role;
use latchkey_model::secret::Password;
use latchkey_model::selection::Selection;
use latchkey_store::{Caller, DeletedUser, Lasting, NewUser, Total, User};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::fields;
use super::list_reads::ListSession;
use super::openapi::parameters::{IfMatch, Page, UserPath, Wait};
use super::openapi::texts;
use super::page::Asked;
use latchkey_server::Enforcement;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
pub(crate) struct Creation {
    #[schema(value_type = texts::Email)]
    email: String,
    password: Password,
    #[serde(default)]
    #[schema(max_items = 256)]
    roles: Vec<Role>,
    #[serde(default)]
    #[schema(max_items = 256)]
    permissions: Vec<Grant>,
    /// Default: the subaccounts that the creator may act on.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Subaccounts>)]
    subaccounts: Option<Selection>,
}

/// Fields to change; omitted fields stay the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserEdit)]
pub(crate) struct Edit {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Email>)]
    email: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    password: Option<Password>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_items = 256)]
    roles: Option<Vec<Role>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_items = 256)]
    permissions: Option<Vec<Grant>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Subaccounts>)]
    subaccounts: Option<Selection>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// A user.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    #[schema(value_type = texts::UserId)]
    user_id: String,
    #[schema(value_type = texts::Email)]
    email: String,
    roles: Vec<Role>,
    permissions: Vec<Grant>,
    #[schema(value_type = texts::Subaccounts)]
    subaccounts: Selection,
    disabled: bool,
    #[schema(value_type = texts::Time)]
    created_at: String,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let Authority { roles, permissions } = user.authority;
        Self {
            user_id: user.id,
            email: user.email,
            roles,
            permissions,
            subaccounts: user.subaccounts,
            disabled: user.disabled,
            created_at: rfc3339(user.created_at),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = UserList)]
pub(crate) struct List {
    users: Vec<UserView>,
    total: u64,
    /// True if there may be more than `total`, which is exact up to 10,000.
    total_is_estimate: bool,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EditedUser)]
pub(crate) struct Edited {
    #[serde(flatten)]
    user: UserView,
    enforcement: Enforcement,
}

/// List users
#[utoipa::path(get, path = "/v1/users", operation_id = "listUsers", tag = "Users",
    params(Page), security(("credential" = ["account:users:read"])),
    responses((status = 200, description = "A page of users, and the total number.", body = Answer<List>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<List>, ApiError> {
    caller.require("account:users:read")?;
    let asked = Asked::take(&mut params, "users")?;
    params.finish()?;
    let found = app.store.users(&caller.account_id, &asked.page).await?;
    let next_cursor = asked.cursor(found.next.as_ref());
    let users = found.rows.into_iter().map(UserView::from).collect();
    let Total {
        count: total,
        is_estimate: total_is_estimate,
    } = found.total;
    Ok(Answer::ok(
        "Users retrieved successfully",
        List {
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
    responses((status = 200, description = "The user.", body = Answer<UserView>,
        headers(("ETag" = String, description = "Identifies this version of the user's editable \
        fields, for `If-Match`.")))))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<UserView>, ApiError> {
    caller.require("account:users:read")?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::UserNotFound)?;
    let user = app.store.user(&caller.account_id, &id).await?;
    let tag = user.entity_tag();
    Ok(Answer::ok("User retrieved successfully", user.into()).tagged(tag))
}

/// Create a user
///
/// You can give a user only what you hold. A restricted API key cannot create users. A user without
/// keys affects no verdict, so the call does not wait for enforcement.
#[utoipa::path(post, path = "/v1/users", operation_id = "createUser", tag = "Users",
    request_body = Creation, security(("credential" = ["account:users:create"])),
    responses(
        (status = 201, description = "The new user.", body = Answer<UserView>),
        (status = 409, description = "The email address is already in use."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(request): Body<Creation>,
) -> Result<Answer<UserView>, ApiError> {
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
    let new = move |caller: &Caller, there_are: &[String]| {
        caller.may_grant(&authority)?;
        let subaccounts = request
            .subaccounts
            .unwrap_or_else(|| caller.subaccounts.clone().among(there_are));
        caller.may_select("subaccounts", &subaccounts, there_are)?;
        caller.may_hand_on("subaccounts", &subaccounts)?;
        Ok::<_, ApiError>(NewUser {
            email,
            password_hash,
            authority,
            subaccounts,
        })
    };
    let user = acting.create_user(new).await?;
    info!(user = user.id, by = session.caller.user_id, "user created");
    Ok(Answer::created("User created successfully", user.into()))
}

/// Edit a user
///
/// Omitted fields stay the same. You must hold all of the user's permissions, because whoever
/// changes a user can act as that user. For the same reason, a restricted API key cannot edit
/// users. What a user loses, their keys lose too.
#[utoipa::path(patch, path = "/v1/users/{user_id}", operation_id = "editUser", tag = "Users",
    params(UserPath, Wait, IfMatch), request_body = Edit, security(("credential" = ["account:users:update"])),
    responses(
        (status = 200, description = "The updated user, and enforcement progress.", body = Answer<Edited>,
            headers(("ETag" = String, description = "Identifies this version of the user's \
            editable fields, for `If-Match`."))),
        (status = 409, description = "The email address is already in use, or the account would \
        have no administrator left."),
    ))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
    Body(request): Body<Edit>,
) -> Result<Answer<Edited>, ApiError> {
    let acting = session.acting_unrestricted(&app, "account:users:update", Lasting::User)?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::UserNotFound)?;
    let email = request
        .email
        .map(|email| fields::email("email", &email))
        .transpose()?;
    if let Some(subaccounts) = &request.subaccounts {
        fields::selection("subaccounts", subaccounts)?;
    }
    let password_hash = match request.password {
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
    let edit = move |caller: &Caller, there_are: &[String], user: &mut User| {
        caller.may_change(user)?;
        if with_password && caller.user_id == user.id {
            return Err(ApiError::field(
                "password",
                "of your own user is changed with PUT /v1/users/me/password",
            ));
        }
        if let Some(subaccounts) = request.subaccounts {
            // Subaccounts that the user has remain, even deleted ones.
            let known = [there_are, user.subaccounts.listed().unwrap_or_default()].concat();
            caller.may_select("subaccounts", &subaccounts, &known)?;
            caller.may_hand_on("subaccounts", &subaccounts)?;
            user.subaccounts = subaccounts;
        }
        user.email = email.unwrap_or_else(|| user.email.clone());
        user.authority.roles = request
            .roles
            .unwrap_or_else(|| user.authority.roles.clone());
        user.authority.permissions = request
            .permissions
            .unwrap_or_else(|| user.authority.permissions.clone());
        user.disabled = request.disabled.unwrap_or(user.disabled);
        check_authority(&user.authority)?;
        caller.may_grant(&user.authority)
    };
    let (user, revision) = acting.edit_user(id, password_hash, edit).await?;
    info!(
        user = user.id,
        by = session.caller.user_id,
        revision,
        "user changed"
    );
    let enforcement = app.enforced(revision, patience).await;
    let tag = user.entity_tag();
    Ok(Answer::ok(
        "User updated successfully",
        Edited {
            user: user.into(),
            enforcement,
        },
    )
    .tagged(tag))
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeletedUser)]
pub(crate) struct Deleted {
    #[schema(value_type = texts::UserId)]
    user_id: String,
    /// The number of revoked keys.
    revoked_keys: u64,
    enforcement: Enforcement,
}

/// Delete a user
///
/// Deletes the user, revokes their keys, ends their sessions and releases their email address. All
/// keys are refused from the returned revision on, however many there are; their records are
/// updated in the background. Repeating the call is safe and returns the same result.
#[utoipa::path(delete, path = "/v1/users/{user_id}", operation_id = "deleteUser", tag = "Users",
    params(UserPath, Wait, IfMatch), security(("credential" = ["account:users:delete"])),
    responses(
        (status = 200, description = "The number of keys revoked, and enforcement progress.", body = Answer<Deleted>),
        (status = 409, description = "The user is the caller, or the account would have no \
        administrator left."),
    ))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<Deleted>, ApiError> {
    let acting = session.acting(&app, "account:users:delete")?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::UserNotFound)?;
    let DeletedUser {
        user,
        revoked_keys,
        revision,
    } = acting.delete_user(id, Caller::may_change).await?;
    info!(
        user = user.id,
        by = session.caller.user_id,
        revoked_keys,
        revision,
        "user deleted"
    );
    let enforcement = app.enforced(revision, patience).await;
    Ok(Answer::ok(
        "User deleted successfully",
        Deleted {
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
