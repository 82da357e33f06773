//! `/v1/subaccounts`: the parts of an account that users and keys can be restricted to.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::clock::rfc3339;
use latchkey_model::json::given;
use latchkey_store::{Subaccount, Total};
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
use super::openapi::parameters::{Page, SubaccountPath, Wait};
use super::openapi::texts;
use super::page::Asked;
use latchkey_server::Enforcement;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSubaccount)]
pub(crate) struct Creation {
    #[schema(value_type = texts::Name)]
    name: String,
}

/// A subaccount.
#[derive(Serialize, ToSchema)]
#[schema(as = Subaccount)]
pub(crate) struct SubaccountView {
    #[schema(value_type = texts::SubaccountId)]
    subaccount_id: String,
    #[schema(value_type = texts::Name)]
    name: String,
    #[schema(value_type = texts::Time)]
    created_at: String,
}

impl From<Subaccount> for SubaccountView {
    fn from(subaccount: Subaccount) -> Self {
        let created_at = rfc3339(subaccount.created_at);
        Self {
            subaccount_id: subaccount.id,
            name: subaccount.name,
            created_at,
        }
    }
}

/// Fields to change; omitted fields stay the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SubaccountEdit)]
pub(crate) struct Edit {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Name>)]
    name: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SubaccountList)]
pub(crate) struct List {
    subaccounts: Vec<SubaccountView>,
    total: u64,
    /// True if there may be more than `total`, which is exact up to 10,000.
    total_is_estimate: bool,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CreatedSubaccount)]
pub(crate) struct Created {
    #[serde(flatten)]
    subaccount: SubaccountView,
    enforcement: Enforcement,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeletedSubaccount)]
pub(crate) struct Deleted {
    #[schema(value_type = texts::SubaccountId)]
    subaccount_id: String,
    enforcement: Enforcement,
}

/// List subaccounts
///
/// Lists the subaccounts that the caller may act on.
#[utoipa::path(get, path = "/v1/subaccounts", operation_id = "listSubaccounts", tag = "Subaccounts",
    params(Page), security(("credential" = ["account:subaccounts:read"])),
    responses((status = 200, description = "A page of subaccounts, and the total number.", body = Answer<List>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<List>, ApiError> {
    caller.require("account:subaccounts:read")?;
    let asked = Asked::take(&mut params, "subaccounts")?;
    params.finish()?;
    let found = app
        .store
        .subaccounts(&caller.account_id, &caller.subaccounts, &asked.page)
        .await?;
    let next_cursor = asked.cursor(found.next.as_ref());
    let subaccounts = found.rows.into_iter().map(SubaccountView::from).collect();
    let Total {
        count: total,
        is_estimate: total_is_estimate,
    } = found.total;
    Ok(Answer::ok(
        "Subaccounts retrieved successfully",
        List {
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
    responses((status = 200, description = "The subaccount.", body = Answer<SubaccountView>)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<SubaccountView>, ApiError> {
    caller.require("account:subaccounts:read")?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::SubaccountNotFound)?;
    if !caller.subaccounts.has(&id) {
        return Err(ApiError::SubaccountNotFound);
    }
    let subaccount = app.store.subaccount(&caller.account_id, &id).await?;
    Ok(Answer::ok(
        "Subaccount retrieved successfully",
        subaccount.into(),
    ))
}

/// Create a subaccount
#[utoipa::path(post, path = "/v1/subaccounts", operation_id = "createSubaccount", tag = "Subaccounts",
    params(Wait), request_body = Creation, security(("credential" = ["account:subaccounts:create"])),
    responses(
        (status = 201, description = "The new subaccount, and enforcement progress.", body = Answer<Created>),
        (status = 409, description = "Another subaccount of the account has the name."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    Body(request): Body<Creation>,
) -> Result<Answer<Created>, ApiError> {
    let acting = session.acting(&app, "account:subaccounts:create")?;
    let patience = params.patience()?;
    params.finish()?;
    let name = fields::name("name", &request.name)?;
    let (subaccount, revision) = acting.create_subaccount(name).await?;
    info!(
        subaccount = subaccount.id,
        user = session.caller.user_id,
        revision,
        "subaccount created"
    );
    let enforcement = app.enforced(revision, patience).await;
    let data = Created {
        subaccount: subaccount.into(),
        enforcement,
    };
    Ok(Answer::created("Subaccount created successfully", data))
}

/// Edit a subaccount
///
/// Nodes use ids, not names, so the call does not wait for enforcement.
#[utoipa::path(patch, path = "/v1/subaccounts/{subaccount_id}", operation_id = "editSubaccount", tag = "Subaccounts",
    params(SubaccountPath), request_body = Edit, security(("credential" = ["account:subaccounts:update"])),
    responses(
        (status = 200, description = "The updated subaccount.", body = Answer<SubaccountView>),
        (status = 409, description = "Another subaccount of the account has the name."),
    ))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
    Body(request): Body<Edit>,
) -> Result<Answer<SubaccountView>, ApiError> {
    let acting = session.acting(&app, "account:subaccounts:update")?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::SubaccountNotFound)?;
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
        subaccount.into(),
    ))
}

/// Delete a subaccount
///
/// Users and keys that list the subaccount keep the others that they list.
#[utoipa::path(delete, path = "/v1/subaccounts/{subaccount_id}", operation_id = "deleteSubaccount", tag = "Subaccounts",
    params(SubaccountPath, Wait), security(("credential" = ["account:subaccounts:delete"])),
    responses((status = 200, description = "Enforcement progress.", body = Answer<Deleted>)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<Deleted>, ApiError> {
    let acting = session.acting(&app, "account:subaccounts:delete")?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::SubaccountNotFound)?;
    let revision = acting.delete_subaccount(id.clone()).await?;
    info!(
        subaccount = id,
        user = session.caller.user_id,
        revision,
        "subaccount deleted"
    );
    let enforcement = app.enforced(revision, patience).await;
    Ok(Answer::ok(
        "Subaccount deleted successfully",
        Deleted {
            subaccount_id: id,
            enforcement,
        },
    ))
}
