//! `POST /v1/webhooks/{id}/rotate-secret`: another secret for a webhook, with an overlap.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::{Created, WebhookView};
use crate::api::App;
use crate::api::answer::Answer;
use crate::api::error::ApiError;
use crate::api::extract::{Body, Params, Session};
use crate::api::openapi::parameters::WebhookPath;
use crate::api::repeatable::Made;
use crate::json::Whole;
use crate::secret::WebhookSecret;
use crate::store::Lasting;

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
/// Deliveries have two signatures, separated by a space, until the old secret ends. While that overlap runs, the caller
/// of the last rotation can repeat it within 10 minutes: that replaces the newest secret, and the old one keeps its end.
#[utoipa::path(post, path = "/v1/webhooks/{webhook_id}/rotate-secret", operation_id = "rotateWebhookSecret",
    tag = "Webhooks", security(("credential" = ["account:webhooks:update"])),
    params(WebhookPath), request_body = Rotation,
    responses(
        (status = 200, description = "The webhook, with the only sight of its new secret.", body = Answer<Created>),
        (status = 409, description = "The overlap of the last rotation still runs."),
    ))]
pub(in crate::api) async fn rotate_secret(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    id: Result<Path<String>, PathRejection>,
    Body(Rotation { overlap_seconds: Whole(overlap) }): Body<Rotation>,
) -> Result<Answer<Created>, ApiError> {
    let acting = session.acting_unrestricted(&app, "account:webhooks:update", Lasting::Webhook)?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::WebhookNotFound)?;
    if overlap > MAX_OVERLAP {
        return Err(ApiError::field("overlap_seconds", format_args!("must be {MAX_OVERLAP} at most")));
    }
    let secret = WebhookSecret::generate()?;
    let webhook = acting.rotate_webhook_secret(id, secret.clone(), overlap).await?;
    info!(webhook = webhook.id, user = session.caller.user_id, overlap, "webhook secret rotated");
    let webhook = Made::New(WebhookView::new(webhook, app.clock.now()));
    let data = Created { webhook, secret: Some(secret.expose()), replayed: None };
    Ok(Answer::ok("Webhook secret rotated successfully", data))
}
