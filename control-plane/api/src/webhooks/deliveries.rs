//! `/v1/webhooks/{id}/deliveries` and `/test`: lists deliveries, repeats them, and sends tests.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_api_types as types;
use latchkey_model::clock::rfc3339;
use latchkey_store::{Delivery, DeliveryState};
use std::sync::Arc;
use tracing::info;

use crate::App;
use crate::caller::Rules as _;
use crate::error::ApiError;
use crate::extract::{Id, Params, Session};
use crate::list_reads::ListSession;
use crate::openapi::parameters::{DeliveryPage, DeliveryPath, WebhookPath};
use crate::response::Answer;

fn view(delivery: Delivery) -> types::WebhookDelivery {
    types::WebhookDelivery {
        state: delivery.state().as_str().to_owned(),
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

/// List deliveries of a webhook
#[utoipa::path(get, path = "/v1/webhooks/{webhook_id}/deliveries", operation_id = "listWebhookDeliveries",
    tag = "Webhooks", security(("credential" = ["account:webhooks:read"])),
    params(WebhookPath, DeliveryPage),
    responses((status = 200, description = "Past and pending deliveries.", body = Answer<types::WebhookDeliveries>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ListSession {
        caller,
        turn: _turn,
    }: ListSession,
    mut params: Params,
    id: Id,
) -> Result<Answer<types::WebhookDeliveries>, ApiError> {
    caller.require("account:webhooks:read")?;
    let state = params.word(
        "state",
        &DeliveryState::ALL.map(|state| (state.as_str(), state)),
    )?;
    params.finish()?;
    let id = id.or(ApiError::WebhookNotFound)?;

    let deliveries = app
        .store
        .webhook_deliveries(&caller.account_id, &id, state)
        .await?;
    let deliveries = deliveries.into_iter().map(view).collect();
    Ok(Answer::ok(
        "Deliveries retrieved successfully",
        types::WebhookDeliveries { deliveries },
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
        (status = 202, description = "The delivery is queued.", body = Answer<types::SentDelivery>),
        (status = 409, description = "The webhook is inactive."),
    ))]
pub(crate) async fn redeliver(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    ids: Result<Path<(String, String)>, PathRejection>,
) -> Result<Answer<types::SentDelivery>, ApiError> {
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
        types::SentDelivery { delivery_id },
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
        (status = 202, description = "The delivery is queued.", body = Answer<types::SentDelivery>),
        (status = 409, description = "The webhook is inactive."),
    ))]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Id,
) -> Result<Answer<types::SentDelivery>, ApiError> {
    let acting = session.acting(&app, "account:webhooks:update")?;
    params.finish()?;
    let id = id.or(ApiError::WebhookNotFound)?;

    let delivery_id = acting.test_webhook(id.clone()).await?;
    info!(
        webhook = id,
        user = session.caller.user_id,
        delivery = delivery_id,
        "webhook tested"
    );
    Ok(Answer::accepted(
        "Test event accepted",
        types::SentDelivery { delivery_id },
    ))
}
