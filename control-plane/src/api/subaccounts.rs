//! `/v1/subaccounts`: the parts of an account that users and keys can be kept to.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::fields;
use super::openapi::parameters::{SubaccountPath, Wait};
use super::openapi::texts;
use crate::clock::rfc3339;
use crate::enforcement::Enforcement;
use crate::store::Subaccount;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSubaccount)]
pub(super) struct Creation {
    #[schema(value_type = texts::Name)]
    name: String,
}

/// A subaccount as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Subaccount)]
pub(super) struct SubaccountView {
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
        Self { subaccount_id: subaccount.id, name: subaccount.name, created_at }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = SubaccountList)]
pub(super) struct List {
    subaccounts: Vec<SubaccountView>,
    total: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CreatedSubaccount)]
pub(super) struct Created {
    #[serde(flatten)]
    subaccount: SubaccountView,
    enforcement: Enforcement,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeletedSubaccount)]
pub(super) struct Deleted {
    #[schema(value_type = texts::SubaccountId)]
    subaccount_id: String,
    enforcement: Enforcement,
}

/// List the subaccounts
///
/// Those that the caller may act on.
#[utoipa::path(get, path = "/v1/subaccounts", operation_id = "listSubaccounts", tag = "Subaccounts",
    security(("credential" = ["account:subaccounts:read"])),
    responses((status = 200, description = "The subaccounts.", body = Answer<List>)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<List>, ApiError> {
    caller.require("account:subaccounts:read")?;
    params.finish()?;
    let all = app.store.subaccounts(&caller.account_id).await?.into_iter();
    let subaccounts: Vec<_> =
        all.filter(|subaccount| caller.subaccounts.has(&subaccount.id)).map(SubaccountView::from).collect();
    let total = subaccounts.len();
    Ok(Answer::ok("Subaccounts retrieved successfully", List { subaccounts, total }))
}

/// Create a subaccount
#[utoipa::path(post, path = "/v1/subaccounts", operation_id = "createSubaccount", tag = "Subaccounts",
    params(Wait), request_body = Creation, security(("credential" = ["account:subaccounts:create"])),
    responses(
        (status = 201, description = "The new subaccount, and how far it has come.", body = Answer<Created>),
        (status = 409, description = "A subaccount of the account has the name."),
    ))]
pub(super) async fn create(
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
    info!(subaccount = subaccount.id, user = session.caller.user_id, revision, "subaccount created");
    let enforcement = app.enforced(revision, patience).await;
    let data = Created { subaccount: subaccount.into(), enforcement };
    Ok(Answer::created("Subaccount created successfully", data))
}

/// Delete a subaccount
///
/// Users and keys that list it keep what else they list.
#[utoipa::path(delete, path = "/v1/subaccounts/{subaccount_id}", operation_id = "deleteSubaccount", tag = "Subaccounts",
    params(SubaccountPath, Wait), security(("credential" = ["account:subaccounts:delete"])),
    responses((status = 200, description = "How far that has come.", body = Answer<Deleted>)))]
pub(super) async fn delete(
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
    info!(subaccount = id, user = session.caller.user_id, revision, "subaccount deleted");
    let enforcement = app.enforced(revision, patience).await;
    Ok(Answer::ok("Subaccount deleted successfully", Deleted { subaccount_id: id, enforcement }))
}
