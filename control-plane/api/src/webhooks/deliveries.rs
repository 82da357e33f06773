//! `/v1/webhooks/{id}/deliveries` and `/test`: lists deliveries, repeats them, and sends tests.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::clock::rfc3339;
use latchkey_store::{Delivery, DeliveryState};
use serde::Serialize;
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::super::caller::Rules as _;
use crate::App;
use crate::answer::Answer;
use crate::error::ApiError;
use crate::extract::{Params, Session};
use crate::list_reads::ListSession;
use crate::openapi::parameters::{DeliveryPage, DeliveryPath, WebhookPath};
use crate::openapi::texts;

#[derive(Serialize, ToSchema)]
#[schema(as = SentDelivery)]
pub(crate) struct Accepted {
    #[schema(value_type = texts::DeliveryId)]
    delivery_id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeliveries)]
pub(crate) struct Deliveries {
    /// The deliveries, newest first, at most 100.
    deliveries: Vec<DeliveryView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
struct DeliveryView {
    #[schema(value_type = texts::DeliveryId)]
    delivery_id: String,
    event: String,
    /// The state: `pending`, `delivered` or `failed`.
    state: &'static str,
    #[schema(value_type = texts::Time)]
    created_at: String,
    /// The time of the last request to send it again.
    #[schema(value_type = Option<texts::Time>, required)]
    redelivered_at: Option<String>,
    /// The number of attempts, counted from `redelivered_at` if it was sent again.
    #[schema(value_type = u64)]
    attempts: u32,
    #[schema(value_type = Option<texts::Time>, required)]
    next_at: Option<String>,
    #[schema(value_type = Option<texts::Time>, required)]
    done_at: Option<String>,
    #[schema(value_type = Option<u64>, required)]
    last_status: Option<u16>,
    #[schema(required)]
    last_error: Option<String>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            state: delivery.state().as_str(),
            delivery_id: delivery.id,
            event: delivery.event,
            created_at: rfc3339(delivery.created_at),
            redelivered_at: delivery.redelivered_at.map(rfc3339),
            attempts: delivery.attempts,
            next_at: delivery.next_at.map(rfc3339),
            done_at: delivery.done_at.map(rfc3339),
            last_status: delivery.last_status,
            last_error: delivery.last_error,
        }
    }
}

/// List deliveries of a webhook
#[utoipa::path(get, path = "/v1/webhooks/{webhook_id}/deliveries", operation_id = "listWebhookDeliveries",
    tag = "Webhooks", security(("credential" = ["account:webhooks:read"])),
    params(WebhookPath, DeliveryPage),
    responses((status = 200, description = "Past and pending deliveries.", body = Answer<Deliveries>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<Deliveries>, ApiError> {
    caller.require("account:webhooks:read")?;
    let state = params.word(
        "state",
        &DeliveryState::ALL.map(|state| (state.as_str(), state)),
    )?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::WebhookNotFound)?;
    let deliveries = app
        .store
        .webhook_deliveries(&caller.account_id, &id, state)
        .await?;
    let deliveries = deliveries.into_iter().map(DeliveryView::from).collect();
    Ok(Answer::ok(
        "Deliveries retrieved successfully",
        Deliveries { deliveries },
    ))
}

/// Send a delivery again
///
/// Sends the delivery at once, whatever its state, with the same id and a new signature. It is
/// retried like a new delivery. Together with tests, at most 60 a minute for each webhook.
#[utoipa::path(post, path = "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id = "redeliverWebhookDelivery", tag = "Webhooks",
    security(("credential" = ["account:webhooks:update"])),
    params(DeliveryPath),
    responses(
        (status = 202, description = "The delivery is queued.", body = Answer<Accepted>),
        (status = 409, description = "The webhook is inactive."),
    ))]
pub(crate) async fn redeliver(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    ids: Result<Path<(String, String)>, PathRejection>,
) -> Result<Answer<Accepted>, ApiError> {
    let acting = session.acting(&app, "account:webhooks:update")?;
    params.finish()?;
    let Path((webhook, delivery_id)) = ids.map_err(|_| ApiError::WebhookNotFound)?;
    acting
        .redeliver(webhook.clone(), delivery_id.clone())
        .await?;
    info!(
        webhook,
        user = session.caller.user_id,
        delivery = delivery_id,
        "redelivery requested"
    );
    Ok(Answer::accepted(
        "Redelivery accepted",
        Accepted { delivery_id },
    ))
}

/// Test a webhook
///
/// Sends a `webhook.test` event. The delivery shows the result. Together with redeliveries, at most
/// 60 a minute for each webhook.
#[utoipa::path(post, path = "/v1/webhooks/{webhook_id}/test", operation_id = "testWebhook", tag = "Webhooks",
    security(("credential" = ["account:webhooks:update"])),
    params(WebhookPath),
    responses(
        (status = 202, description = "The delivery is queued.", body = Answer<Accepted>),
        (status = 409, description = "The webhook is inactive."),
    ))]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
) -> Result<Answer<Accepted>, ApiError> {
    let acting = session.acting(&app, "account:webhooks:update")?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::WebhookNotFound)?;
    let delivery_id = acting.test_webhook(id.clone()).await?;
    info!(
        webhook = id,
        user = session.caller.user_id,
        delivery = delivery_id,
        "webhook tested"
    );
    Ok(Answer::accepted(
        "Test event accepted",
        Accepted { delivery_id },
    ))
}
