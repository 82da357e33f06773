//! `/v1/subaccounts`: the parts of an account that users and keys can be restricted to.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::clock::rfc3339;
use latchkey_store::{Subaccount, Total};
use std::sync::Arc;
use tracing::info;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Id, Params, Session};
use super::fields;
use super::list_reads::ListSession;
use super::openapi::parameters::{Page, SubaccountPath, Wait};
use super::page::PageParams;
use super::response::Answer;

fn view(subaccount: Subaccount) -> types::Subaccount {
    let created_at = rfc3339(subaccount.created_at);
    types::Subaccount {
        subaccount_id: subaccount.id,
        name: subaccount.name,
        created_at,
    }
}

/// List subaccounts
///
/// Lists the subaccounts that the caller may act on.
#[utoipa::path(get, path = "/v1/subaccounts", operation_id = "listSubaccounts", tag = "Subaccounts",
    params(Page), security(("credential" = ["account:subaccounts:read"])),
    responses((status = 200, description = "A page of subaccounts, and the total number.", body = Answer<types::SubaccountList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<types::SubaccountList>, ApiError> {
    caller.require("account:subaccounts:read")?;
    let page = PageParams::take(&mut params, "subaccounts")?;
    params.finish()?;

    let found = app
        .store
        .subaccounts(&caller.account_id, &caller.subaccounts, &page.query)
        .await?;

    let next_cursor = page.cursor(found.next.as_ref());
    let subaccounts = found.rows.into_iter().map(view).collect();
    let Total {
        count: total,
        is_estimate: total_is_estimate,
    } = found.total;
    Ok(Answer::ok(
        "Subaccounts retrieved successfully",
        types::SubaccountList {
            subaccounts,
            total,
            total_is_estimate,
            next_cursor,
        },
    ))
}

/// Get a subaccount
///
/// Returns a subaccount that the caller may act on.
#[utoipa::path(get, path = "/v1/subaccounts/{subaccount_id}", operation_id = "getSubaccount", tag = "Subaccounts",
    params(SubaccountPath), security(("credential" = ["account:subaccounts:read"])),
    responses((status = 200, description = "The subaccount.", body = Answer<types::Subaccount>)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Id,
) -> Result<Answer<types::Subaccount>, ApiError> {
    caller.require("account:subaccounts:read")?;
    params.finish()?;
    let id = id.or(ApiError::SubaccountNotFound)?;

    if !caller.subaccounts.has(&id) {
        return Err(ApiError::SubaccountNotFound);
    }
    let subaccount = app.store.subaccount(&caller.account_id, &id).await?;
    Ok(Answer::ok(
        "Subaccount retrieved successfully",
        view(subaccount),
    ))
}

/// Create a subaccount
#[utoipa::path(post, path = "/v1/subaccounts", operation_id = "createSubaccount", tag = "Subaccounts",
    params(Wait), request_body = types::NewSubaccount, security(("credential" = ["account:subaccounts:create"])),
    responses(
        (status = 201, description = "The new subaccount, and enforcement progress.", body = Answer<types::CreatedSubaccount>),
        (status = 409, description = "Another subaccount of the account has the name."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(request): Body<types::NewSubaccount>,
) -> Result<Answer<types::CreatedSubaccount>, ApiError> {
    let acting = session.acting(&app, "account:subaccounts:create")?;
    let timeout = params.timeout()?;
    params.finish()?;

    let name = fields::name("name", &request.name)?;
    let (subaccount, revision) = acting.create_subaccount(name).await?;
    info!(
        subaccount = subaccount.id,
        user = session.caller.user_id,
        revision,
        "subaccount created"
    );

    let enforcement = app.enforced(revision, timeout).await;
    let data = types::CreatedSubaccount {
        subaccount: view(subaccount),
        enforcement,
    };
    Ok(Answer::created("Subaccount created successfully", data))
}

/// Edit a subaccount
///
/// Nodes use ids, not names, so the call does not wait for enforcement.
#[utoipa::path(patch, path = "/v1/subaccounts/{subaccount_id}", operation_id = "editSubaccount", tag = "Subaccounts",
    params(SubaccountPath), request_body = types::SubaccountEdit, security(("credential" = ["account:subaccounts:update"])),
    responses(
        (status = 200, description = "The updated subaccount.", body = Answer<types::Subaccount>),
        (status = 409, description = "Another subaccount of the account has the name."),
    ))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Id,
    Body(request): Body<types::SubaccountEdit>,
) -> Result<Answer<types::Subaccount>, ApiError> {
    let acting = session.acting(&app, "account:subaccounts:update")?;
    params.finish()?;
    let id = id.or(ApiError::SubaccountNotFound)?;

    let name = request
        .name
        .map(|name| fields::name("name", &name))
        .transpose()?;
    let subaccount = acting.edit_subaccount(id, name).await?;
    info!(
        subaccount = subaccount.id,
        user = session.caller.user_id,
        "subaccount changed"
    );
    Ok(Answer::ok(
        "Subaccount updated successfully",
        view(subaccount),
    ))
}

/// Delete a subaccount
///
/// Users and keys that list the subaccount keep the others that they list.
#[utoipa::path(delete, path = "/v1/subaccounts/{subaccount_id}", operation_id = "deleteSubaccount", tag = "Subaccounts",
    params(SubaccountPath, Wait), security(("credential" = ["account:subaccounts:delete"])),
    responses((status = 200, description = "Enforcement progress.", body = Answer<types::DeletedSubaccount>)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Id,
) -> Result<Answer<types::DeletedSubaccount>, ApiError> {
    let acting = session.acting(&app, "account:subaccounts:delete")?;
    let timeout = params.timeout()?;
    params.finish()?;
    let id = id.or(ApiError::SubaccountNotFound)?;

    let revision = acting.delete_subaccount(id.clone()).await?;
    info!(
        subaccount = id,
        user = session.caller.user_id,
        revision,
        "subaccount deleted"
    );

    let enforcement = app.enforced(revision, timeout).await;
    Ok(Answer::ok(
        "Subaccount deleted successfully",
        types::DeletedSubaccount {
            subaccount_id: id,
            enforcement,
        },
    ))
}
