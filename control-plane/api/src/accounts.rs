//! `/v1/accounts`: the owners of users and keys, which the operator creates, limits and closes.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::clock::rfc3339;
use latchkey_model::json::{Object, given};
use latchkey_model::secret::Password;
use latchkey_store::{Account, AccountChange, Lasting, NewAccount, StoreError, Total};
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
use super::openapi::parameters::{AccountPath, Page, Wait};
use super::openapi::texts;
use super::page::Asked;
use latchkey_server::Enforcement;

/// The default maximum number of keys of an account.
const MAX_KEYS: u32 = 1_000;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAccount)]
pub(crate) struct Creation {
    #[schema(value_type = texts::Name)]
    name: String,
    #[schema(value_type = texts::Word)]
    tier: String,
    /// The maximum number of keys that are not revoked or expired; null for no limit. Default:
    /// 1,000.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    max_keys: Option<Option<u32>>,
    /// The first administrator, who holds every permission in the account.
    #[schema(value_type = Admin)]
    admin: Object<Admin>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAdministrator)]
struct Admin {
    #[schema(value_type = texts::Email)]
    email: String,
    password: Password,
}

/// Fields to change; omitted fields stay the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountEdit)]
pub(crate) struct Edit {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Name>)]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Word>)]
    tier: Option<String>,
    /// Null for no limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    max_keys: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// An account.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub(crate) struct AccountView {
    #[schema(value_type = texts::AccountId)]
    account_id: String,
    #[schema(value_type = texts::Name)]
    name: String,
    #[schema(value_type = texts::Word)]
    tier: String,
    /// Null for no limit.
    #[schema(required)]
    max_keys: Option<u32>,
    disabled: bool,
    /// True if this is the operator's own account.
    operator: bool,
    /// The number of keys that count towards `max_keys`: neither revoked nor expired.
    keys: i64,
    users: i64,
    #[schema(value_type = texts::Time)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<texts::Time>)]
    closed_at: Option<String>,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            account_id: account.id,
            name: account.name,
            tier: account.tier,
            max_keys: account.max_keys,
            disabled: account.disabled,
            operator: account.operator,
            keys: account.keys,
            users: account.users,
            created_at: rfc3339(account.created_at),
            closed_at: account.closed_at.map(rfc3339),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = AccountList)]
pub(crate) struct List {
    accounts: Vec<AccountView>,
    total: u64,
    /// True if there may be more than `total`, which is exact up to 10,000.
    total_is_estimate: bool,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CreatedAccount)]
pub(crate) struct Created {
    #[serde(flatten)]
    account: AccountView,
    admin: AdminView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Administrator)]
struct AdminView {
    #[schema(value_type = texts::UserId)]
    user_id: String,
    #[schema(value_type = texts::Email)]
    email: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EditedAccount)]
pub(crate) struct Edited {
    #[serde(flatten)]
    account: AccountView,
    enforcement: Enforcement,
}

/// List the accounts
///
/// Lists all accounts that are not closed.
#[utoipa::path(get, path = "/v1/accounts", operation_id = "listAccounts", tag = "Accounts",
    params(Page), security(("credential" = ["gateway:accounts:read"])),
    responses((status = 200, description = "A page of accounts, and the total number.", body = Answer<List>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<List>, ApiError> {
    caller.require("gateway:accounts:read")?;
    let asked = Asked::take(&mut params, "accounts")?;
    params.finish()?;
    let found = app.store.accounts(&asked.page, app.clock.now()).await?;
    let next_cursor = asked.cursor(found.next.as_ref());
    let accounts = found.rows.into_iter().map(AccountView::from).collect();
    let Total {
        count: total,
        is_estimate: total_is_estimate,
    } = found.total;
    Ok(Answer::ok(
        "Accounts retrieved successfully",
        List {
            accounts,
            total,
            total_is_estimate,
            next_cursor,
        },
    ))
}

/// Get an account
///
/// Also returns closed accounts.
#[utoipa::path(get, path = "/v1/accounts/{account_id}", operation_id = "getAccount", tag = "Accounts",
    params(AccountPath), security(("credential" = ["gateway:accounts:read"])),
    responses((status = 200, description = "The account.", body = Answer<AccountView>)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<AccountView>, ApiError> {
    caller.require("gateway:accounts:read")?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::AccountNotFound)?;
    let account = app.store.account(&id, app.clock.now()).await?;
    Ok(Answer::ok("Account retrieved successfully", account.into()))
}

/// Create an account
///
/// Also requires the permission `*`, because the account's first administrator gets it. A
/// restricted API key cannot create accounts. Nodes hold no data of an account without keys, so the
/// call does not wait for enforcement.
#[utoipa::path(post, path = "/v1/accounts", operation_id = "createAccount", tag = "Accounts",
    request_body = Creation, security(("credential" = ["gateway:accounts:create"])),
    responses(
        (status = 201, description = "The new account and its first administrator.", body = Answer<Created>),
        (status = 409, description = "The email address is already in use."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(request): Body<Creation>,
) -> Result<Answer<Created>, ApiError> {
    let acting = session.acting_unrestricted(&app, "gateway:accounts:create", Lasting::Account)?;
    params.finish()?;
    let Creation {
        name,
        tier,
        max_keys,
        admin: Object(admin),
    } = request;
    let name = fields::name("name", &name)?;
    let email = fields::email("admin.email", &admin.email)?;
    fields::password("admin.password", &admin.password)?;
    let password_hash = app
        .passwords
        .hash(admin.password, &session.caller.user_id)
        .await?;
    let new = NewAccount {
        name,
        tier,
        max_keys: max_keys.unwrap_or(Some(MAX_KEYS)),
        email,
        password_hash,
    };
    let (account, admin) = acting
        .create_account(new)
        .await
        .map_err(|error| match error {
            StoreError::EmailTaken => ApiError::EmailTaken {
                field: "admin.email",
            },
            error => error.into(),
        })?;
    info!(
        account = account.id,
        by = session.caller.user_id,
        "account created"
    );
    let admin = AdminView {
        user_id: admin.id,
        email: admin.email,
    };
    Ok(Answer::created(
        "Account created successfully",
        Created {
            account: account.into(),
            admin,
        },
    ))
}

/// Edit an account
///
/// Disabling an account refuses all its keys and logs out all its users. A restricted API key
/// cannot edit accounts.
#[utoipa::path(patch, path = "/v1/accounts/{account_id}", operation_id = "editAccount", tag = "Accounts",
    params(AccountPath, Wait), request_body = Edit, security(("credential" = ["gateway:accounts:update"])),
    responses(
        (status = 200, description = "The updated account, and enforcement progress.", body = Answer<Edited>),
        (status = 409, description = "The account is closed, or it is the operator's account, \
        which cannot be disabled."),
    ))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
    Body(request): Body<Edit>,
) -> Result<Answer<Edited>, ApiError> {
    let acting = session.acting_unrestricted(&app, "gateway:accounts:update", Lasting::Account)?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::AccountNotFound)?;
    let change = AccountChange {
        name: request
            .name
            .map(|name| fields::name("name", &name))
            .transpose()?,
        tier: request.tier,
        max_keys: request.max_keys,
        disabled: request.disabled,
    };
    let (account, revision) = acting.edit_account(id, change).await?;
    info!(
        account = account.id,
        by = session.caller.user_id,
        revision,
        "account changed"
    );
    let enforcement = app.enforced(revision, patience).await;
    Ok(Answer::ok(
        "Account updated successfully",
        Edited {
            account: account.into(),
            enforcement,
        },
    ))
}

/// Close an account
///
/// Permanently closes the account, revokes its keys and deletes its users. Repeating the call is
/// safe and returns the same result.
#[utoipa::path(delete, path = "/v1/accounts/{account_id}", operation_id = "closeAccount", tag = "Accounts",
    params(AccountPath, Wait), security(("credential" = ["gateway:accounts:delete"])),
    responses(
        (status = 200, description = "The closed account, and enforcement progress.", body = Answer<Edited>),
        (status = 409, description = "The operator's account cannot be closed."),
    ))]
pub(crate) async fn close(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<Edited>, ApiError> {
    let acting = session.acting(&app, "gateway:accounts:delete")?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::AccountNotFound)?;
    let (account, revision) = acting.close_account(id).await?;
    info!(
        account = account.id,
        by = session.caller.user_id,
        revision,
        "account closed"
    );
    let enforcement = app.enforced(revision, patience).await;
    Ok(Answer::ok(
        "Account closed successfully",
        Edited {
            account: account.into(),
            enforcement,
        },
    ))
}
