//! `/v1/webhooks`: notifications about changes to the account's keys.

use axum::extract::State;
use latchkey_api_types::{self as types, EXPIRING_DAYS, Made};
use latchkey_model::clock::rfc3339;
use latchkey_model::json::Whole;
use latchkey_model::secret::WebhookSecret;
use latchkey_store::{EventType, Lasting, NewWebhook, Outcome, Webhook, WebhookChange};
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::info;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Id, Params, Session};
use super::fields;
use super::openapi::parameters;
use super::repeatable::{self, Repeatable};
use super::response::Answer;

pub(crate) mod deliveries;
pub(crate) mod rotate;

const DEFAULT_DAYS: u32 = 7;
const MAX_DAYS: usize = 10;

/// Describes a webhook as of `now`.
fn view(webhook: Webhook, now: i64) -> types::Webhook {
    let old_secret_ends_at = webhook.old_secret_ends_at.filter(|ends_at| now < *ends_at);
    types::Webhook {
        webhook_id: webhook.id,
        url: webhook.url,
        events: webhook.events,
        expiring_days: webhook.expiring_days,
        active: webhook.active,
        created_at: rfc3339(webhook.created_at),
        updated_at: rfc3339(webhook.updated_at),
        secret_created_at: rfc3339(webhook.secret_created_at),
        old_secret_ends_at: old_secret_ends_at.map(rfc3339),
        last_error: webhook.last_error,
        last_error_at: webhook.last_error_at.map(rfc3339),
    }
}

/// List webhooks
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "listWebhooks", tag = "Webhooks",
    security(("credential" = ["account:webhooks:read"])),
    responses((status = 200, description = "The account's webhooks, oldest first.", body = Answer<types::WebhookList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<types::WebhookList>, ApiError> {
    caller.require("account:webhooks:read")?;
    params.finish()?;

    let (webhooks, now) = (
        app.store.webhooks(&caller.account_id).await?,
        app.clock.now(),
    );
    let webhooks: Vec<_> = webhooks
        .into_iter()
        .map(|webhook| view(webhook, now))
        .collect();
    let total = webhooks.len();
    Ok(Answer::ok(
        "Webhooks retrieved successfully",
        types::WebhookList { webhooks, total },
    ))
}

/// Create a webhook
///
/// Deliveries are signed according to Standard Webhooks (https://www.standardwebhooks.com). The
/// secret is returned only once. An API key that is restricted to services, subaccounts, a lifetime
/// or addresses cannot create or change webhooks.
///
/// Repeating the call with the same `Idempotency-Key` within 24 hours creates no second webhook and
/// returns 200 without the secret.
#[utoipa::path(post, path = "/v1/webhooks", operation_id = "createWebhook", tag = "Webhooks",
    security(("credential" = ["account:webhooks:create"])),
    params(parameters::IdempotencyKey), request_body = types::NewWebhook,
    responses(
        (status = 201, description = "The webhook, with its secret.", body = Answer<types::CreatedWebhook>),
        (status = 200, description = "The webhook of the repeated call.", body = Answer<types::CreatedWebhook>),
        (status = 409, description = "The `Idempotency-Key` was used with a different body."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Repeatable { request, call }: Repeatable<types::NewWebhook>,
) -> Result<Answer<types::CreatedWebhook>, ApiError> {
    let acting = session.acting_unrestricted(&app, "account:webhooks:create", Lasting::Webhook)?;
    params.finish()?;

    let secret = WebhookSecret::generate()?;
    let new = NewWebhook {
        url: check_url(&app, &request.url)?,
        secret: secret.clone(),
        events: check_events(request.events.unwrap_or_else(|| EventType::ALL.to_vec()))?,
        expiring_days: check_days(
            request
                .expiring_days
                .unwrap_or_else(|| vec![Whole(DEFAULT_DAYS)]),
        )?,
    };
    let now = app.clock.now();
    let data = move |webhook: &Webhook| repeatable::recorded(&view(webhook.clone(), now));
    let (webhook, secret) = match acting.repeatable(call).create_webhook(new, data).await? {
        Outcome::New(webhook) => {
            info!(
                webhook = webhook.id,
                user = session.caller.user_id,
                "webhook created"
            );
            (Made::New(view(webhook, now)), Some(secret.expose()))
        }
        Outcome::Repeated(recorded) => (Made::Repeated(recorded.data), None),
    };
    let (status, replayed) = (repeatable::status(&webhook), webhook.replayed());
    Ok(Answer::with_status(
        status,
        "Webhook created successfully",
        types::CreatedWebhook {
            webhook,
            secret,
            replayed,
        },
    ))
}

/// Get a webhook
#[utoipa::path(get, path = "/v1/webhooks/{webhook_id}", operation_id = "getWebhook", tag = "Webhooks",
    security(("credential" = ["account:webhooks:read"])),
    params(parameters::WebhookPath),
    responses((status = 200, description = "The webhook.", body = Answer<types::Webhook>)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    id: Id,
) -> Result<Answer<types::Webhook>, ApiError> {
    caller.require("account:webhooks:read")?;
    params.finish()?;
    let id = id.or(ApiError::WebhookNotFound)?;
    let webhook = app.store.webhook(&caller.account_id, &id).await?;
    Ok(Answer::ok(
        "Webhook retrieved successfully",
        view(webhook, app.clock.now()),
    ))
}

/// Edit a webhook
///
/// Deactivating a webhook discards its pending deliveries.
#[utoipa::path(patch, path = "/v1/webhooks/{webhook_id}", operation_id = "editWebhook", tag = "Webhooks",
    security(("credential" = ["account:webhooks:update"])),
    params(parameters::WebhookPath),
    request_body = types::WebhookEdit,
    responses((status = 200, description = "The updated webhook.", body = Answer<types::Webhook>)))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Id,
    Body(request): Body<types::WebhookEdit>,
) -> Result<Answer<types::Webhook>, ApiError> {
    let acting = session.acting_unrestricted(&app, "account:webhooks:update", Lasting::Webhook)?;
    params.finish()?;
    let id = id.or(ApiError::WebhookNotFound)?;

    let change = WebhookChange {
        url: request.url.map(|url| check_url(&app, &url)).transpose()?,
        events: request.events.map(check_events).transpose()?,
        expiring_days: request.expiring_days.map(check_days).transpose()?,
        active: request.active,
    };
    let webhook = acting.edit_webhook(id, change).await?;
    info!(
        webhook = webhook.id,
        user = session.caller.user_id,
        "webhook changed"
    );
    Ok(Answer::ok(
        "Webhook updated successfully",
        view(webhook, app.clock.now()),
    ))
}

/// Delete a webhook
///
/// Deletes the webhook and its pending deliveries.
#[utoipa::path(delete, path = "/v1/webhooks/{webhook_id}", operation_id = "deleteWebhook", tag = "Webhooks",
    security(("credential" = ["account:webhooks:delete"])),
    params(parameters::WebhookPath),
    responses((status = 200, description = "The deleted webhook.", body = Answer<types::DeletedWebhook>)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Id,
) -> Result<Answer<types::DeletedWebhook>, ApiError> {
    let acting = session.acting(&app, "account:webhooks:delete")?;
    params.finish()?;
    let id = id.or(ApiError::WebhookNotFound)?;

    acting.delete_webhook(id.clone()).await?;
    info!(
        webhook = id,
        user = session.caller.user_id,
        "webhook deleted"
    );
    Ok(Answer::ok(
        "Webhook deleted successfully",
        types::DeletedWebhook { webhook_id: id },
    ))
}

/// Returns the normalized URL.
fn check_url(app: &App, text: &str) -> Result<String, ApiError> {
    app.reach
        .check(text)
        .map(String::from)
        .map_err(|reason| ApiError::field("url", reason))
}

/// Checks the events: at least one, without duplicates.
fn check_events(events: Vec<EventType>) -> Result<Vec<EventType>, ApiError> {
    fields::bounded("events", &events)?;
    let events: BTreeSet<_> = events.into_iter().collect();
    if events.is_empty() {
        return Err(ApiError::field("events", "must name at least one event"));
    }
    Ok(events.into_iter().collect())
}

/// Checks the days; returns them without duplicates, largest first.
fn check_days(days: Vec<Whole>) -> Result<Vec<u32>, ApiError> {
    let days: Vec<_> = days.into_iter().map(|Whole(days)| days).collect();
    let sorted: BTreeSet<_> = days.iter().copied().collect();
    if !(1..=MAX_DAYS).contains(&days.len()) {
        return Err(ApiError::field(
            "expiring_days",
            format_args!("must have 1 to {MAX_DAYS} entries"),
        ));
    }
    if let Some(index) = days.iter().position(|days| !EXPIRING_DAYS.contains(days)) {
        let reason = format_args!(
            "must be a whole number from {} to {}",
            EXPIRING_DAYS.start(),
            EXPIRING_DAYS.end()
        );
        return Err(ApiError::field(&format!("expiring_days[{index}]"), reason));
    }
    Ok(sorted.into_iter().rev().collect())
}
