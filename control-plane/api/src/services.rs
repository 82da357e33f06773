//! `/v1/services`: the services that the account's keys can be scoped to.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::clock::rfc3339;
use latchkey_store::{SERVICE, Service, Total};
use std::sync::Arc;
use tracing::info;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Id, Params, Session};
use super::fields;
use super::list_reads::ListSession;
use super::openapi::parameters::{Page, ServicePath};
use super::page::PageParams;
use super::response::Answer;

fn view(service: Service) -> types::Service {
    types::Service {
        name: service.name,
        description: service.description,
        created_at: rfc3339(service.created_at),
    }
}

/// List services
#[utoipa::path(get, path = "/v1/services", operation_id = "listServices", tag = "Services",
    params(Page), security(("credential" = ["account:services:read"])),
    responses((status = 200, description = "A page of services, and the total number.", body = Answer<types::ServiceList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
) -> Result<Answer<types::ServiceList>, ApiError> {
    caller.require("account:services:read")?;
    let page = PageParams::take(&mut params, "services")?;
    params.finish()?;

    let found = app.store.services(&caller.account_id, &page.query).await?;

    let next_cursor = page.cursor(found.next.as_ref());
    let services = found.rows.into_iter().map(view).collect();
    let Total {
        count: total,
        is_estimate: total_is_estimate,
    } = found.total;
    Ok(Answer::ok(
        "Services retrieved successfully",
        types::ServiceList {
            services,
            total,
            total_is_estimate,
            next_cursor,
        },
    ))
}

/// Get a service
#[utoipa::path(get, path = "/v1/services/{name}", operation_id = "getService", tag = "Services",
    params(ServicePath), security(("credential" = ["account:services:read"])),
    responses((status = 200, description = "The service.", body = Answer<types::Service>)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    name: Id,
) -> Result<Answer<types::Service>, ApiError> {
    caller.require("account:services:read")?;
    params.finish()?;
    let name = name.or(ApiError::ServiceNotFound)?;
    let service = app.store.service(&caller.account_id, &name).await?;
    Ok(Answer::ok("Service retrieved successfully", view(service)))
}

/// Register a service
///
/// A new service affects no verdict until a key lists it, so the call does not wait for
/// enforcement.
#[utoipa::path(post, path = "/v1/services", operation_id = "createService", tag = "Services",
    request_body = types::NewService, security(("credential" = ["account:services:create"])),
    responses(
        (status = 201, description = "The new service.", body = Answer<types::Service>),
        (status = 409, description = "Another service of the account has the name."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(request): Body<types::NewService>,
) -> Result<Answer<types::Service>, ApiError> {
    let acting = session.acting(&app, "account:services:create")?;
    params.finish()?;

    fields::word("name", &request.name)?;
    if request.name == SERVICE {
        return Err(ApiError::field(
            "name",
            "is reserved: every account has a service of this name for the management API",
        ));
    }
    let description = fields::description(request.description)?;
    let service = acting.create_service(request.name, description).await?;
    info!(
        service = service.name,
        user = session.caller.user_id,
        "service registered"
    );
    Ok(Answer::created(
        "Service registered successfully",
        view(service),
    ))
}

/// Edit a service
#[utoipa::path(patch, path = "/v1/services/{name}", operation_id = "editService", tag = "Services",
    params(ServicePath), request_body = types::ServiceEdit, security(("credential" = ["account:services:update"])),
    responses((status = 200, description = "The updated service.", body = Answer<types::Service>)))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    name: Id,
    Body(request): Body<types::ServiceEdit>,
) -> Result<Answer<types::Service>, ApiError> {
    let acting = session.acting(&app, "account:services:update")?;
    params.finish()?;
    let name = name.or(ApiError::ServiceNotFound)?;

    let description = request.description.map(fields::description).transpose()?;
    let service = acting.edit_service(name, description).await?;
    info!(
        service = service.name,
        user = session.caller.user_id,
        "service changed"
    );
    Ok(Answer::ok("Service updated successfully", view(service)))
}

/// Delete a service
#[utoipa::path(delete, path = "/v1/services/{name}", operation_id = "deleteService", tag = "Services",
    params(ServicePath), security(("credential" = ["account:services:delete"])),
    responses(
        (status = 200, description = "The name of the deleted service.", body = Answer<types::DeletedService>),
        (status = 409, description = "The service is in the scope of a key that is not revoked."),
    ))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    name: Id,
) -> Result<Answer<types::DeletedService>, ApiError> {
    let acting = session.acting(&app, "account:services:delete")?;
    params.finish()?;
    let name = name.or(ApiError::ServiceNotFound)?;

    acting.delete_service(name.clone()).await?;
    info!(
        service = name,
        user = session.caller.user_id,
        "service deleted"
    );
    Ok(Answer::ok(
        "Service deleted successfully",
        types::DeletedService { name },
    ))
}
