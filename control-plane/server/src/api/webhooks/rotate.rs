//! `POST /v1/webhooks/{id}/rotate-secret`: another secret for a webhook, with an overlap.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::json::Whole;
use latchkey_model::secret::WebhookSecret;
use latchkey_store::{Lasting, Outcome, Webhook};
use serde::Deserialize;
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::{Created, WebhookView};
use crate::api::App;
use crate::api::answer::Answer;
use crate::api::error::ApiError;
use crate::api::extract::{Params, Session};
use crate::api::openapi::parameters::{IdempotencyKey, WebhookPath};
use crate::api::repeatable::{self, Made, Repeatable};

/// A day.
const DEFAULT_OVERLAP: u32 = 24 * 60 * 60;

/// 30 days.
const MAX_OVERLAP: u32 = 30 * 24 * 60 * 60;

fn default_overlap() -> Whole {
    Whole(DEFAULT_OVERLAP)
}

/// How a webhook gets another secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookRotation)]
pub(in crate::api) struct Rotation {
    /// For how long the old secret signs as well. With 0 every older secret ends at once.
    #[serde(default = "default_overlap")]
    #[schema(value_type = u64, maximum = 2_592_000, default = 86_400)]
    overlap_seconds: Whole,
}

/// Rotate the secret of a webhook
///
/// Deliveries have two signatures, separated by a space, until the old secret ends. While that
/// overlap runs, the caller of the last rotation can repeat it within 10 minutes: that replaces the
/// newest secret, and the old one keeps its end. Repeated with the same `Idempotency-Key` within 24
/// hours, the call makes no other secret, and is answered without one.
#[utoipa::path(post, path = "/v1/webhooks/{webhook_id}/rotate-secret", operation_id = "rotateWebhookSecret",
    tag = "Webhooks", security(("credential" = ["account:webhooks:update"])),
    params(WebhookPath, IdempotencyKey), request_body = Rotation,
    responses(
        (status = 200, description = "The webhook, with the only sight of its new secret.", body = Answer<Created>),
        (status = 409, description = "The overlap of the last rotation still runs; the `Idempotency-Key` was used with another body."),
    ))]
pub(in crate::api) async fn rotate_secret(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
    Repeatable {
        request: Rotation {
            overlap_seconds: Whole(overlap),
        },
        call,
    }: Repeatable<Rotation>,
) -> Result<Answer<Created>, ApiError> {
    let acting = session.acting_unrestricted(&app, "account:webhooks:update", Lasting::Webhook)?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::WebhookNotFound)?;
    if overlap > MAX_OVERLAP {
        return Err(ApiError::field(
            "overlap_seconds",
            format_args!("must be {MAX_OVERLAP} at most"),
        ));
    }
    let secret = WebhookSecret::generate()?;
    let now = app.clock.now();
    let data =
        move |webhook: &Webhook| repeatable::recorded(&WebhookView::new(webhook.clone(), now));
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
            (
                Made::New(WebhookView::new(webhook, now)),
                Some(secret.expose()),
            )
        }
        Outcome::Repeated(recorded) => (Made::Repeated(recorded.data), None),
    };
    let data = Created {
        replayed: webhook.replayed(),
        webhook,
        secret,
    };
    Ok(Answer::ok("Webhook secret rotated successfully", data))
}
