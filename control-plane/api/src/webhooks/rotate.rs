//! `POST /v1/webhooks/{id}/rotate-secret`: a new secret for a webhook, with an overlap.

use axum::extract::State;
use latchkey_api_types::{self as types, Made};
use latchkey_model::json::Whole;
use latchkey_model::secret::WebhookSecret;
use latchkey_store::{Lasting, Outcome, Webhook};
use std::sync::Arc;
use tracing::info;

use super::view;
use crate::App;
use crate::error::ApiError;
use crate::extract::{Id, Params, Session};
use crate::openapi::parameters::{IdempotencyKey, WebhookPath};
use crate::repeatable::{self, Repeatable};
use crate::response::Answer;

/// The maximum overlap, in seconds: 30 days.
const MAX_OVERLAP: u32 = 30 * 24 * 60 * 60;

/// Rotate the secret of a webhook
///
/// Until the old secret ends, deliveries have two signatures, separated by a space. During this
/// overlap, the same caller can repeat the rotation within 10 minutes; this replaces the newest
/// secret, and the old one keeps its end. Repeating the call with the same `Idempotency-Key` within
/// 24 hours creates no new secret and returns none.
#[utoipa::path(post, path = "/v1/webhooks/{webhook_id}/rotate-secret", operation_id = "rotateWebhookSecret",
    tag = "Webhooks", security(("credential" = ["account:webhooks:update"])),
    params(WebhookPath, IdempotencyKey), request_body = types::WebhookRotation,
    responses(
        (status = 200, description = "The webhook with its new secret, returned only once.", body = Answer<types::CreatedWebhook>),
        (status = 409, description = "The overlap of the last rotation is still running, or the \
        `Idempotency-Key` was used with a different body."),
    ))]
pub(crate) async fn rotate_secret(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Id,
    Repeatable {
        request: types::WebhookRotation {
            overlap_seconds: Whole(overlap),
        },
        call,
    }: Repeatable<types::WebhookRotation>,
) -> Result<Answer<types::CreatedWebhook>, ApiError> {
    let acting = session.acting_unrestricted(&app, "account:webhooks:update", Lasting::Webhook)?;
    params.finish()?;
    let id = id.or(ApiError::WebhookNotFound)?;

    if overlap > MAX_OVERLAP {
        return Err(ApiError::field(
            "overlap_seconds",
            format_args!("must be at most {MAX_OVERLAP}"),
        ));
    }
    let secret = WebhookSecret::generate()?;
    let now = app.clock.now();
    let data = move |webhook: &Webhook| repeatable::recorded(&view(webhook.clone(), now));
    let (webhook, secret) = match acting
        .repeatable(call)
        .rotate_webhook_secret(id, secret.clone(), overlap, data)
        .await?
    {
        Outcome::New(webhook) => {
            info!(
                webhook = webhook.id,
                user = session.caller.user_id,
                overlap,
                "webhook secret rotated"
            );
            (Made::New(view(webhook, now)), Some(secret.expose()))
        }
        Outcome::Repeated(recorded) => (Made::Repeated(recorded.data), None),
    };
    let data = types::CreatedWebhook {
        replayed: webhook.replayed(),
        webhook,
        secret,
    };
    Ok(Answer::ok("Webhook secret rotated successfully", data))
}
