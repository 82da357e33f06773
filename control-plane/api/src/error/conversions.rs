//! Conversions of errors of the store and of other modules to API errors.

use latchkey_model::json::Fault;
use latchkey_model::random::NoRandomness;
use latchkey_policy::verdict::Code;
use latchkey_server::password::PasswordError;
use latchkey_store::StoreError;

use super::ApiError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::SessionEnded => Self::Session,
            StoreError::KeyRefused(code) => code.into(),
            StoreError::PermissionMissing(permission) => Self::missing_permission(permission),
            StoreError::KeyRestricted { what, lasting } => Self::restricted_key(what, lasting),
            StoreError::KeyExceeded(exceeded) => Self::exceeds_own_key(&exceeded),
            StoreError::NameTaken => Self::NameTaken,
            StoreError::SecretTaken => Self::SecretTaken,
            StoreError::AtRestKeyMissing => Self::AtRestKeyMissing,
            StoreError::Row { index, error } => Self::from(*error).in_row(index),
            StoreError::TierInUse(tier) => Self::TierInUse { tier },
            StoreError::KeyRevoked => Self::KeyRevoked,
            StoreError::PreconditionFailed => Self::PreconditionFailed,
            StoreError::IdempotencyConflict => Self::IdempotencyConflict,
            StoreError::IdempotencyLimit => Self::IdempotencyLimit,
            StoreError::KeyExpired => Self::KeyExpired,
            StoreError::OverlapRunning => Self::OverlapRunning,
            StoreError::UserNotFound => Self::UserNotFound,
            StoreError::EmailTaken => Self::EmailTaken { field: "email" },
            StoreError::TooManyDisclosures { seconds } => Self::TooManyConflicts { seconds },
            StoreError::DeletesThemselves => Self::DeletesThemselves,
            StoreError::AccountNotFound => Self::AccountNotFound,
            StoreError::AccountClosed => Self::AccountClosed,
            StoreError::OperatorsAccount => Self::OperatorsAccount,
            StoreError::KeyLimit(max_keys) => Self::KeyLimit { max_keys },
            StoreError::HeldKeyLimit(max_keys) => Self::HeldKeyLimit { max_keys },
            StoreError::TierExceeded { field, tier } => Self::TierExceeded { field, tier },
            StoreError::ServiceUnknown { index } => Self::unknown_service(index),
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
            StoreError::WebhookBusy { seconds } => Self::WebhookBusy { seconds },
            StoreError::DeliveryNotFound => Self::DeliveryNotFound,
            StoreError::NodeTokenNotFound => Self::NodeTokenNotFound,
            StoreError::NodeTokenNameTaken => Self::NodeTokenNameTaken,
            StoreError::NodeTokenTaken => Self::NodeTokenTaken,
            StoreError::NodeTokenLimit => Self::NodeTokenLimit,
            StoreError::KeyNotFound => Self::KeyNotFound,
            StoreError::TierNotFound { field, existing } => Self::unknown_tier(field, &existing),
            StoreError::Unavailable(_) | StoreError::FileReplaced { .. } => {
                Self::unavailable(error)
            }
            StoreError::Database(_)
            | StoreError::Damaged(_)
            | StoreError::Pruned
            | StoreError::Record(_)
            | StoreError::Random(_)
            | StoreError::Interrupted => Self::internal(error),
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
            _ => Self::internal(error),
        }
    }
}

impl From<NoRandomness> for ApiError {
    fn from(error: NoRandomness) -> Self {
        Self::internal(error)
    }
}

impl From<Code> for ApiError {
    /// Converts the refusal of a calling key.
    fn from(code: Code) -> Self {
        match code {
            Code::AmbiguousKey => Self::TwoCredentials,
            Code::DisabledKey => Self::CallingKeyDisabled,
            Code::ExpiredKey => Self::CallingKeyExpired,
            Code::IpDenied => Self::CallingKeyIpDenied,
            Code::OutOfScope => Self::CallingKeyOutOfScope,
            _ => Self::CallingKeyInvalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse as _;

    #[test]
    fn busy_hasher_asks_to_try_again() {
        let error = ApiError::from(PasswordError::Busy);
        assert_eq!(
            error.report().error,
            "Too many passwords are being hashed at once. Please try again."
        );
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn refused_callers_have_filter_codes() {
        for code in [
            Code::AmbiguousKey,
            Code::InvalidKey,
            Code::DisabledKey,
            Code::ExpiredKey,
            Code::IpDenied,
            Code::OutOfScope,
        ] {
            assert_eq!(ApiError::from(code).row().code, code.as_str());
        }
    }
}
