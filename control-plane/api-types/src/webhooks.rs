//! Webhooks and their deliveries.

use latchkey_model::event_type::EventType;
use latchkey_model::json::{Whole, given};
use latchkey_model::schema::number;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use utoipa::ToSchema;

use crate::named::named_schemas;
use crate::{Made, schemas};

/// The numbers of days before an expiry at which a webhook can announce it.
pub const EXPIRING_DAYS: RangeInclusive<u32> = 1..=365;

/// The default overlap of a rotation, in seconds: a day.
const DEFAULT_OVERLAP: u32 = 24 * 60 * 60;

fn default_overlap() -> Whole {
    Whole(DEFAULT_OVERLAP)
}

named_schemas! {
    /// The number of days before a key expires.
    ExpiringDays = number(*EXPIRING_DAYS.start()).maximum(Some(*EXPIRING_DAYS.end()));
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    #[schema(value_type = schemas::WebhookUrl)]
    pub url: String,
    /// The events to send. Default: all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<EventType>, nullable = false, min_items = 1, max_items = 256)]
    pub events: Option<Vec<EventType>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<ExpiringDays>, nullable = false, min_items = 1, max_items = 10)]
    pub expiring_days: Option<Vec<Whole>>,
}

/// Fields to change; omitted fields stay the same.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookEdit {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = schemas::WebhookUrl, nullable = false)]
    pub url: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<EventType>, nullable = false, min_items = 1, max_items = 256)]
    pub events: Option<Vec<EventType>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<ExpiringDays>, nullable = false, min_items = 1, max_items = 10)]
    pub expiring_days: Option<Vec<Whole>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub active: Option<bool>,
}

/// A webhook without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    #[schema(value_type = schemas::WebhookId)]
    pub webhook_id: String,
    pub url: String,
    pub events: Vec<EventType>,
    #[schema(value_type = Vec<ExpiringDays>)]
    pub expiring_days: Vec<u32>,
    pub active: bool,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
    #[schema(value_type = schemas::Time)]
    pub updated_at: String,
    /// The time at which the current secret was created.
    #[schema(value_type = schemas::Time)]
    pub secret_created_at: String,
    /// The time until which deliveries are also signed with the old secret; null if there is none.
    #[schema(value_type = Option<schemas::Time>, required)]
    pub old_secret_ends_at: Option<String>,
    /// The last error; null after a successful delivery.
    #[schema(required)]
    pub last_error: Option<String>,
    #[schema(value_type = Option<schemas::Time>, required)]
    pub last_error_at: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    pub webhooks: Vec<Webhook>,
    pub total: usize,
}

// Without Debug, so that no log shows the secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedWebhook {
    #[serde(flatten)]
    #[schema(value_type = Webhook)]
    pub webhook: Made<Webhook>,
    /// The secret, returned only once. Absent if the call was repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret: Option<String>,
    /// True if this call repeats an earlier one with the same `Idempotency-Key`. Nothing was
    /// changed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replayed: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeletedWebhook {
    #[schema(value_type = schemas::WebhookId)]
    pub webhook_id: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SentDelivery {
    #[schema(value_type = schemas::DeliveryId)]
    pub delivery_id: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookDeliveries {
    /// The deliveries, newest first, at most 100.
    pub deliveries: Vec<WebhookDelivery>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookDelivery {
    #[schema(value_type = schemas::DeliveryId)]
    pub delivery_id: String,
    pub event: String,
    /// The state: `pending`, `delivered` or `failed`.
    pub state: String,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
    /// The time of the last request to send it again.
    #[schema(value_type = Option<schemas::Time>, required)]
    pub redelivered_at: Option<String>,
    /// The number of attempts, counted from `redelivered_at` if it was sent again.
    #[schema(value_type = u64)]
    pub attempts: u32,
    #[schema(value_type = Option<schemas::Time>, required)]
    pub next_at: Option<String>,
    #[schema(value_type = Option<schemas::Time>, required)]
    pub done_at: Option<String>,
    #[schema(value_type = Option<u64>, required)]
    pub last_status: Option<u16>,
    #[schema(required)]
    pub last_error: Option<String>,
}

/// A request for a new secret of a webhook.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRotation {
    /// The time for which deliveries are also signed with the old secret. With 0, all older secrets
    /// end at once.
    #[serde(default = "default_overlap")]
    #[schema(value_type = u64, maximum = 2_592_000, default = 86_400)]
    pub overlap_seconds: Whole,
}
