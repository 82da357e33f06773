//! The sentences of error responses.

use latchkey_store::{
    MAX_MANUAL_DELIVERIES, MAX_NODE_TOKENS, MAX_SERVICES, MAX_SUBACCOUNTS, MAX_WEBHOOKS,
};

use super::super::redact::redacted;
use super::ApiError;

impl ApiError {
    /// Returns the code, the sentence and the field at fault, as in the response.
    pub(crate) fn summary(self) -> (&'static str, String, Option<String>) {
        let (_, code, _, sentence) = self.parts();
        let (field, error) = self.told(code, sentence);
        (code, redacted(&error), field.as_deref().map(redacted))
    }

    /// Returns the field at fault and the sentence, by default the one that all errors of the kind
    /// share.
    fn told(self, code: &'static str, sentence: &'static str) -> (Option<String>, String) {
        match self {
            Self::Invalid { field, error }
            | Self::MissingPermission { field, error }
            | Self::SubaccountDenied { field, error } => (field, error),
            Self::TooLarge(most) => (None, format!("The body must have at most {most} bytes.")),
            Self::TooManyCalls { limit, seconds } => {
                let limit =
                    format!("You have exceeded your rate limit of {limit} requests per minute.");
                (
                    None,
                    format!("{limit} Please wait {seconds} seconds before retrying."),
                )
            }
            Self::SubaccountLimit => (
                None,
                format!("An account can have at most {MAX_SUBACCOUNTS} subaccounts."),
            ),
            Self::WebhookBusy(seconds) => {
                let limit = format!(
                    "At most {MAX_MANUAL_DELIVERIES} tests and redeliveries of a webhook are \
                    accepted in a minute."
                );
                (None, format!("{limit} Please wait {seconds} seconds."))
            }
            Self::WebhookLimit => (
                None,
                format!("An account can have at most {MAX_WEBHOOKS} webhooks."),
            ),
            Self::ServiceLimit => (
                None,
                format!("An account can have at most {MAX_SERVICES} services."),
            ),
            Self::KeyLimit(most) => (
                None,
                format!(
                    "The account may have at most {most} API keys that are not revoked or expired."
                ),
            ),
            Self::HeldKeyLimit(most) => {
                let held =
                    "Expired API keys are held for a day. With them, the account can have at most";
                (
                    None,
                    format!(
                        "{held} twice its limit of {most} API keys. Revoke some of the expired \
                        ones."
                    ),
                )
            }
            Self::TierExceeded { field, tier } => {
                let error = format!("Field `{field}` is above the account's tier `{tier}`.");
                (Some(field), error)
            }
            Self::TierInUse(name) => {
                let error = format!(
                    "Tier `{name}` is in use by an account or by an API key that is not revoked."
                );
                (Some("tiers".to_owned()), error)
            }
            Self::EmailTaken(field) => (
                Some(field.to_owned()),
                format!("Field `{field}` is the email address of another user."),
            ),
            Self::NodeTokenLimit => (
                None,
                format!("There can be at most {MAX_NODE_TOKENS} valid node tokens."),
            ),
            Self::NameTaken
            | Self::SubaccountNameTaken
            | Self::ServiceNameTaken
            | Self::NodeTokenNameTaken => (Some("name".to_owned()), sentence.to_owned()),
            Self::SecretTaken | Self::NodeTokenTaken => {
                (Some("sha256".to_owned()), sentence.to_owned())
            }
            Self::Row { error, place } => match error.told(code, sentence) {
                (Some(field), error) => {
                    let whole = format!("{place}.{field}");
                    let error = error.replacen(&format!("`{field}`"), &format!("`{whole}`"), 1);
                    (Some(whole), error)
                }
                (None, error) => (Some(place), error),
            },
            Self::NotReady(reason) => (None, format!("{reason}.")),
            Self::Unavailable(detail) | Self::Internal(detail) => {
                tracing::error!(code, detail, "request failed");
                (None, sentence.to_owned())
            }
            _ => (None, sentence.to_owned()),
        }
    }
}
