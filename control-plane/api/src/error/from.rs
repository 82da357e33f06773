//! Conversions of errors of the store and of other modules to API errors.

use axum::http::StatusCode;
use latchkey_model::json::Fault;
use latchkey_model::random::NoRandomness;
use latchkey_policy::verdict::Code;
use latchkey_store::StoreError;

use super::ApiError;
use latchkey_server::password::PasswordError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::SessionEnded => Self::Session,
            StoreError::KeyRefused(code) => Self::Key(code),
            StoreError::PermissionMissing(permission) => Self::missing_permission(permission),
            StoreError::KeyRestricted { what, lasting } => Self::restricted_key(what, lasting),
            StoreError::KeyExceeded(exceeded) => Self::exceeds_own_key(&exceeded),
            StoreError::NameTaken => Self::NameTaken,
            StoreError::SecretTaken => Self::SecretTaken,
            StoreError::AtRestKeyMissing => Self::AtRestKeyMissing,
            StoreError::Row { index, error } => Self::from(*error).of_row(index),
            StoreError::TierInUse(name) => Self::TierInUse(name),
            StoreError::KeyRevoked => Self::KeyRevoked,
            StoreError::PreconditionFailed => Self::PreconditionFailed,
            StoreError::IdempotencyConflict => Self::IdempotencyConflict,
            StoreError::IdempotencyLimit => Self::IdempotencyLimit,
            StoreError::KeyExpired => Self::KeyExpired,
            StoreError::OverlapRunning => Self::OverlapRunning,
            StoreError::UserNotFound => Self::UserNotFound,
            StoreError::EmailTaken => Self::EmailTaken("email"),
            StoreError::TooManyDisclosures { seconds } => Self::TooManyConflicts(seconds),
            StoreError::DeletesThemselves => Self::DeletesThemselves,
            StoreError::AccountNotFound => Self::AccountNotFound,
            StoreError::AccountClosed => Self::AccountClosed,
            StoreError::OperatorsAccount => Self::OperatorsAccount,
            StoreError::KeyLimit(most) => Self::KeyLimit(most),
            StoreError::HeldKeyLimit(most) => Self::HeldKeyLimit(most),
            StoreError::TierExceeded { field, tier } => Self::TierExceeded { field, tier },
            StoreError::ServiceUnknown { index } => Self::field(
                &format!("scope[{index}]"),
                "is not a service of the account: register it first with POST /v1/services",
            ),
            StoreError::ServiceNotFound => Self::ServiceNotFound,
            StoreError::ServiceNameTaken => Self::ServiceNameTaken,
            StoreError::ServiceLimit => Self::ServiceLimit,
            StoreError::ServiceInUse => Self::ServiceInUse,
            StoreError::LastAdministrator => Self::LastAdministrator,
            StoreError::SubaccountNotFound => Self::SubaccountNotFound,
            StoreError::SubaccountNameTaken => Self::SubaccountNameTaken,
            StoreError::SubaccountLimit => Self::SubaccountLimit,
            StoreError::WebhookNotFound => Self::WebhookNotFound,
            StoreError::WebhookInactive => Self::WebhookInactive,
            StoreError::WebhookLimit => Self::WebhookLimit,
            StoreError::ReadTooLong => Self::ReadTooLong,
            StoreError::WebhookBusy { seconds } => Self::WebhookBusy(seconds),
            StoreError::DeliveryNotFound => Self::DeliveryNotFound,
            StoreError::NodeTokenNotFound => Self::NodeTokenNotFound,
            StoreError::NodeTokenNameTaken => Self::NodeTokenNameTaken,
            StoreError::NodeTokenTaken => Self::NodeTokenTaken,
            StoreError::NodeTokenLimit => Self::NodeTokenLimit,
            StoreError::KeyNotFound => Self::KeyNotFound,
            StoreError::TierNotFound { field, there_are } => Self::field(
                field,
                format_args!("must be one of {}", there_are.join(", ")),
            ),
            StoreError::Unavailable(_) | StoreError::FileReplaced { .. } => {
                Self::Unavailable(error.to_string())
            }
            StoreError::Database(_)
            | StoreError::Damaged(_)
            | StoreError::Pruned
            | StoreError::Record(_)
            | StoreError::Random(_)
            | StoreError::Interrupted => Self::Internal(error.to_string()),
        }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault.field {
            Some(field) => Self::field(&field, fault.reason),
            None => Self::Invalid {
                field: None,
                error: format!("The body {}.", fault.reason),
            },
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::PasswordsBusy,
            _ => Self::Internal(error.to_string()),
        }
    }
}

impl From<NoRandomness> for ApiError {
    fn from(error: NoRandomness) -> Self {
        Self::Internal(error.to_string())
    }
}

/// The filter's refusal of a key, with texts for the API.
pub(super) fn key_refused(code: Code) -> (StatusCode, &'static str, &'static str, &'static str) {
    let (status, sentence) = match code {
        Code::AmbiguousKey => (
            StatusCode::UNAUTHORIZED,
            "The request has two different credentials.",
        ),
        Code::DisabledKey => (
            StatusCode::UNAUTHORIZED,
            "The API key, its owner or its account is disabled.",
        ),
        Code::ExpiredKey => (StatusCode::UNAUTHORIZED, "The API key has expired."),
        Code::IpDenied => (
            StatusCode::FORBIDDEN,
            "The API key is not allowed from this address.",
        ),
        Code::OutOfScope => (
            StatusCode::FORBIDDEN,
            "The API key's scope does not include the service `latchkey`.",
        ),
        _ => (
            StatusCode::UNAUTHORIZED,
            "The API key does not exist or has been revoked.",
        ),
    };
    (status, code.as_str(), "API key refused", sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header;
    use axum::response::IntoResponse as _;

    #[test]
    fn a_busy_hasher_is_told_as_what_it_is() {
        let error = ApiError::from(PasswordError::Busy);
        assert_eq!(
            error.parts().3,
            "Too many passwords are being hashed at once. Please try again."
        );
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
