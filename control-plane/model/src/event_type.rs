//! The types of webhook events.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A kind of event, as receivers and the API name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum EventType {
    /// A key was created.
    #[serde(rename = "key.created")]
    KeyCreated,
    /// A key was revoked.
    #[serde(rename = "key.revoked")]
    KeyRevoked,
    /// A key expires within some days.
    #[serde(rename = "key.expiring")]
    KeyExpiring,
    /// A request used a replaced secret of a key that is still valid.
    #[serde(rename = "key.old_secret_used")]
    KeyOldSecretUsed,
    /// A request was refused because a limit of its key is used up.
    #[serde(rename = "key.limit_reached")]
    KeyLimitReached,
    /// A test sent on request. Webhooks cannot subscribe to it; each receives its own.
    #[serde(rename = "webhook.test", skip_deserializing)]
    WebhookTest,
}

impl EventType {
    /// All types that a webhook can subscribe to.
    pub const ALL: [Self; 5] = [
        Self::KeyCreated,
        Self::KeyRevoked,
        Self::KeyExpiring,
        Self::KeyOldSecretUsed,
        Self::KeyLimitReached,
    ];

    /// Returns the name, such as `key.created`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreated => "key.created",
            Self::KeyRevoked => "key.revoked",
            Self::KeyExpiring => "key.expiring",
            Self::KeyOldSecretUsed => "key.old_secret_used",
            Self::KeyLimitReached => "key.limit_reached",
            Self::WebhookTest => "webhook.test",
        }
    }
}
