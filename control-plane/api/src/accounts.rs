//! `/v1/accounts`: the owners of users and keys, which the operator creates, limits and closes.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::clock::rfc3339;
use latchkey_model::json::Object;
use latchkey_store::{Account, AccountChange, Lasting, NewAccount, StoreError, Total};
use std::sync::Arc;
use tracing::info;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Id, Params, Session};
use super::fields;
use super::list_reads::ListSession;
use super::openapi::parameters::{AccountPath, Page, Wait};
use super::page::PageParams;
use super::response::Answer;

/// The default maximum number of keys of an account.
const MAX_KEYS: u32 = 1_000;

fn view(account: Account) -> types::Account {
    types::Account {
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

/// List the accounts
///
/// Lists all accounts that are not closed.
#[utoipa::path(get, path = "/v1/accounts", operation_id = "listAccounts", tag = "Accounts",
    params(Page), security(("credential" = ["gateway:accounts:read"])),
    responses((status = 200, description = "A page of accounts, and the total number.", body = Answer<types::AccountList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<types::AccountList>, ApiError> {
    caller.require("gateway:accounts:read")?;
    let page = PageParams::take(&mut params, "accounts")?;
    params.finish()?;

    let found = app.store.accounts(&page.query, app.clock.now()).await?;

    let next_cursor = page.cursor(found.next.as_ref());
    let accounts = found.rows.into_iter().map(view).collect();
    let Total {
        count: total,
        is_estimate: total_is_estimate,
    } = found.total;
    Ok(Answer::ok(
        "Accounts retrieved successfully",
        types::AccountList {
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
    responses((status = 200, description = "The account.", body = Answer<types::Account>)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Id,
) -> Result<Answer<types::Account>, ApiError> {
    caller.require("gateway:accounts:read")?;
    params.finish()?;
    let id = id.or(ApiError::AccountNotFound)?;
    let account = app.store.account(&id, app.clock.now()).await?;
    Ok(Answer::ok("Account retrieved successfully", view(account)))
}

/// Create an account
///
/// Also requires the permission `*`, because the account's first administrator gets it. A
/// restricted API key cannot create accounts. Nodes hold no data of an account without keys, so the
/// call does not wait for enforcement.
#[utoipa::path(post, path = "/v1/accounts", operation_id = "createAccount", tag = "Accounts",
    request_body = types::NewAccount, security(("credential" = ["gateway:accounts:create"])),
    responses(
        (status = 201, description = "The new account and its first administrator.", body = Answer<types::CreatedAccount>),
        (status = 409, description = "The email address is already in use."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(request): Body<types::NewAccount>,
) -> Result<Answer<types::CreatedAccount>, ApiError> {
    let acting = session.acting_unrestricted(&app, "gateway:accounts:create", Lasting::Account)?;
    params.finish()?;

    let types::NewAccount {
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
    let admin = types::Administrator {
        user_id: admin.id,
        email: admin.email,
    };
    Ok(Answer::created(
        "Account created successfully",
        types::CreatedAccount {
            account: view(account),
            admin,
        },
    ))
}

/// Edit an account
///
/// Disabling an account refuses all its keys and logs out all its users. A restricted API key
/// cannot edit accounts.
#[utoipa::path(patch, path = "/v1/accounts/{account_id}", operation_id = "editAccount", tag = "Accounts",
    params(AccountPath, Wait), request_body = types::AccountEdit, security(("credential" = ["gateway:accounts:update"])),
    responses(
        (status = 200, description = "The updated account, and enforcement progress.", body = Answer<types::EditedAccount>),
        (status = 409, description = "The account is closed, or it is the operator's account, \
        which cannot be disabled."),
    ))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Id,
    Body(request): Body<types::AccountEdit>,
) -> Result<Answer<types::EditedAccount>, ApiError> {
    let acting = session.acting_unrestricted(&app, "gateway:accounts:update", Lasting::Account)?;
    let timeout = params.timeout()?;
    params.finish()?;
    let id = id.or(ApiError::AccountNotFound)?;

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

    let enforcement = app.enforced(revision, timeout).await;
    Ok(Answer::ok(
        "Account updated successfully",
        types::EditedAccount {
            account: view(account),
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
        (status = 200, description = "The closed account, and enforcement progress.", body = Answer<types::EditedAccount>),
        (status = 409, description = "The operator's account cannot be closed."),
    ))]
pub(crate) async fn close(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Id,
) -> Result<Answer<types::EditedAccount>, ApiError> {
    let acting = session.acting(&app, "gateway:accounts:delete")?;
    let timeout = params.timeout()?;
    params.finish()?;
    let id = id.or(ApiError::AccountNotFound)?;

    let (account, revision) = acting.close_account(id).await?;
    info!(
        account = account.id,
        by = session.caller.user_id,
        revision,
        "account closed"
    );

    let enforcement = app.enforced(revision, timeout).await;
    Ok(Answer::ok(
        "Account closed successfully",
        types::EditedAccount {
            account: view(account),
            enforcement,
        },
    ))
}
