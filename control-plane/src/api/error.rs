//! What a refused request is answered. Codes are stable; what only the operator should see goes to the log.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use latchkey_policy::verdict::Code;
use serde::Serialize;
use std::fmt::Display;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::redact::redacted;
use crate::json::Fault;
use crate::password::PasswordError;
use crate::random::NoRandomness;
use crate::schema::one_of;
use crate::store::{MAX_SERVICES, MAX_SUBACCOUNTS, MAX_WEBHOOKS, StoreError};

/// So many faults of one document are told at once.
const MAX_FAULTS: usize = 20;

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The request says something that it may not say.
    Invalid {
        /// Where, if it is one place.
        field: Option<String>,
        /// A sentence.
        error: String,
    },
    /// Email address or password, and we do not say which.
    Credentials,
    /// No session, or one that has ended.
    Session,
    /// An API key that is refused as a credential.
    Key(Code),
    /// The caller does not hold what the request takes.
    MissingPermission {
        /// What would give it to somebody else, if it is that.
        field: Option<String>,
        /// A sentence.
        error: String,
    },
    /// The caller may not act on a subaccount.
    SubaccountDenied {
        /// What names it, if it is in the body.
        field: Option<String>,
        /// A sentence.
        error: String,
    },
    /// The account has no such key.
    KeyNotFound,
    /// There is no such account.
    AccountNotFound,
    /// The account is closed for good.
    AccountClosed,
    /// The operator's account would be disabled or closed.
    OperatorsAccount,
    /// The account has as many keys as it may: so many.
    KeyLimit(u32),
    /// A key would be above its account's tier.
    TierExceeded {
        /// What of the key.
        field: String,
        /// The account's.
        tier: String,
    },
    /// The account has no such service.
    ServiceNotFound,
    /// A service of the account has the name.
    ServiceNameTaken,
    /// The account has as many services as it can.
    ServiceLimit,
    /// The scope of a live key lists the service.
    ServiceInUse,
    /// The account has no such user.
    UserNotFound,
    /// A user has the email address of this field.
    EmailTaken(&'static str),
    /// The user to delete is the one who asks.
    DeletesThemselves,
    /// The account would be left without an administrator.
    LastAdministrator,
    /// An account or a live key has the tier that would be gone.
    TierInUse(String),
    /// The key is revoked for good.
    KeyRevoked,
    /// The account has no such subaccount.
    SubaccountNotFound,
    /// A subaccount of the account has the name.
    SubaccountNameTaken,
    /// The account has as many subaccounts as it can.
    SubaccountLimit,
    /// The account has no such webhook.
    WebhookNotFound,
    /// The webhook is switched off.
    WebhookInactive,
    /// The account has as many webhooks as it can.
    WebhookLimit,
    /// There is nothing at that path.
    NotFound,
    /// There is, but not for that method.
    MethodNotAllowed,
    /// A live key has the name.
    NameTaken,
    /// The digest is that of a key, or was.
    SecretTaken,
    /// One of several rows is to blame.
    Row {
        /// What is wrong with it.
        error: Box<ApiError>,
        /// Where it is.
        place: String,
    },
    /// The body is not JSON by its own account.
    UnsupportedMediaType,
    /// The body has more bytes than this.
    TooLarge(usize),
    /// A login for that address may be tried again after so many seconds.
    TooManyLogins(u32),
    /// The caller has made as many calls as they can, and may make another after so many seconds.
    TooManyCalls {
        /// Calls a minute.
        limit: u32,
        /// Until there are more.
        seconds: u32,
    },
    /// So many passwords are hashed or verified that this one has to come again.
    PasswordsBusy,
    /// It may work later. The detail is for the log.
    Unavailable(String),
    /// It is our fault. The detail is for the log.
    Internal(String),
}

/// `{"status":"error","code":…,"message":…,"error":…,"field":…}`
#[derive(Serialize, ToSchema)]
#[schema(as = Error, description = "What a refused request is answered.")]
pub(super) struct Body {
    #[schema(schema_with = error_status)]
    status: &'static str,
    /// What it is, for programs. It does not change.
    #[schema(pattern = "^[a-z][a-z0-9_]*$", example = "invalid_request")]
    code: &'static str,
    /// What it is, for people.
    #[schema(example = "Invalid request")]
    message: &'static str,
    /// What is wrong in this case, as a sentence.
    #[schema(example = "Field `name` is missing.")]
    error: String,
    /// The field or parameter that is to blame, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "name")]
    field: Option<String>,
}

fn error_status() -> Object {
    one_of(["error"]).build()
}

impl ApiError {
    /// `field` is to blame; `reason` goes on from its name, as in "must be …".
    pub(super) fn field(field: &str, reason: impl Display) -> Self {
        Self::Invalid { field: Some(field.to_owned()), error: format!("Field `{field}` {reason}.") }
    }

    /// Several fields are to blame. The first [`MAX_FAULTS`] are told of; the first is the one that is named.
    pub(super) fn faults(faults: Vec<Fault>) -> Self {
        let told = faults.iter().take(MAX_FAULTS).map(|Fault { field, reason }| match field {
            Some(field) => format!("{field}: {reason}"),
            None => format!("The body {reason}"),
        });
        let more = match faults.len().saturating_sub(MAX_FAULTS) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let error = format!("{}{more}.", told.collect::<Vec<_>>().join("; "));
        Self::Invalid { field: faults.into_iter().find_map(|fault| fault.field), error }
    }

    /// The same about the row of that index in `keys`, from 0.
    pub(super) fn of_row(self, index: usize) -> Self {
        Self::Row { error: Box::new(self), place: format!("keys[{index}]") }
    }

    /// The query parameter `name` is to blame.
    pub(super) fn parameter(name: &str, reason: impl Display) -> Self {
        Self::Invalid { field: Some(name.to_owned()), error: format!("Query parameter `{name}` {reason}.") }
    }

    /// The caller lacks `permission`.
    pub(super) fn missing_permission(permission: &str) -> Self {
        Self::MissingPermission { field: None, error: format!("This takes the permission `{permission}`.") }
    }

    /// `field` would give `name`, a role or a permission, to somebody else.
    pub(super) fn grants_more(field: &str, name: &str) -> Self {
        let error = format!("Field `{field}` gives `{name}`, which you do not hold yourself.");
        Self::MissingPermission { field: Some(field.to_owned()), error }
    }

    /// The request would make a key good for more that has `name`, a role or a permission.
    pub(super) fn key_has_more(name: &str) -> Self {
        let error = format!("The API key has `{name}`, which you do not hold yourself, so you may only narrow it.");
        Self::MissingPermission { field: None, error }
    }

    /// The request would make a key good for more that may act on more subaccounts.
    pub(super) fn key_selects_more() -> Self {
        let error = "The API key may act on subaccounts that you may not act on yourself, so you may only narrow it.";
        Self::SubaccountDenied { field: None, error: error.to_owned() }
    }

    /// The request would act on a user who holds `name`, a role or a permission.
    pub(super) fn holds_more(name: &str) -> Self {
        Self::MissingPermission {
            field: None,
            error: format!("The user holds `{name}`, which you do not hold yourself."),
        }
    }

    /// The request would give a key services that the calling key may not act on.
    pub(super) fn scope_denied() -> Self {
        let error = "Field `scope` gives services that your own API key is not good for.".to_owned();
        Self::MissingPermission { field: Some("scope".to_owned()), error }
    }

    /// `field` names a subaccount that the caller may not act on.
    pub(super) fn subaccount_denied(field: &str) -> Self {
        let error = format!("Field `{field}` selects what you may not act on yourself.");
        Self::SubaccountDenied { field: Some(field.to_owned()), error }
    }

    /// The request would act on a user who may act on more subaccounts.
    pub(super) fn selects_more() -> Self {
        let error = "The user may act on subaccounts that you may not act on yourself.".to_owned();
        Self::SubaccountDenied { field: None, error }
    }

    fn parts(&self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_request", "Invalid request", ""),
            Self::Credentials => (
                StatusCode::UNAUTHORIZED,
                "invalid_credentials",
                "Invalid credentials",
                "Email address or password is wrong.",
            ),
            Self::Session => (
                StatusCode::UNAUTHORIZED,
                "invalid_session",
                "Invalid or missing session token",
                "Log in with POST /v1/sessions and send `Authorization: Bearer <token>`, or send an API key.",
            ),
            Self::Key(code) => key_refused(*code),
            Self::MissingPermission { .. } => (StatusCode::FORBIDDEN, "missing_permission", "Permission missing", ""),
            Self::SubaccountDenied { .. } => (StatusCode::FORBIDDEN, "subaccount_denied", "Subaccount denied", ""),
            Self::KeyNotFound => (
                StatusCode::NOT_FOUND,
                "key_not_found",
                "API key not found",
                "The account has no API key with this id.",
            ),
            Self::AccountNotFound => {
                (StatusCode::NOT_FOUND, "account_not_found", "Account not found", "There is no account with this id.")
            }
            Self::AccountClosed => (
                StatusCode::CONFLICT,
                "account_closed",
                "Account closed",
                "The account was closed, which is for good. Make another one.",
            ),
            Self::OperatorsAccount => (
                StatusCode::CONFLICT,
                "operators_account",
                "Operator's account",
                "The operator's own account can be neither disabled nor closed.",
            ),
            Self::KeyLimit(_) => (StatusCode::FORBIDDEN, "key_limit", "Account key limit reached", ""),
            Self::TierExceeded { .. } => (StatusCode::FORBIDDEN, "tier_exceeded", "Account tier exceeded", ""),
            Self::ServiceNotFound => (
                StatusCode::NOT_FOUND,
                "service_not_found",
                "Service not found",
                "The account has no service of this name.",
            ),
            Self::ServiceNameTaken => (
                StatusCode::CONFLICT,
                "name_taken",
                "Service name already in use",
                "Field `name` is the name of another service of the account.",
            ),
            Self::ServiceLimit => (StatusCode::FORBIDDEN, "service_limit", "Account service limit reached", ""),
            Self::ServiceInUse => (
                StatusCode::CONFLICT,
                "service_in_use",
                "Service in use",
                "The service is in the scope of an API key that is not revoked.",
            ),
            Self::DeletesThemselves => (
                StatusCode::CONFLICT,
                "cannot_delete_yourself",
                "Cannot delete yourself",
                "Nobody can delete themselves. Somebody else has to.",
            ),
            Self::UserNotFound => {
                (StatusCode::NOT_FOUND, "user_not_found", "User not found", "The account has no user with this id.")
            }
            Self::EmailTaken(_) => (StatusCode::CONFLICT, "email_taken", "Email address already in use", ""),
            Self::LastAdministrator => (
                StatusCode::CONFLICT,
                "last_administrator",
                "Last administrator",
                "The account needs a user who is not disabled, holds `*` and may act on all subaccounts.",
            ),
            Self::TierInUse(_) => (StatusCode::CONFLICT, "tier_in_use", "Tier in use", ""),
            Self::KeyRevoked => (
                StatusCode::CONFLICT,
                "key_revoked",
                "API key revoked",
                "The API key was revoked, which is for good. Make another one.",
            ),
            Self::SubaccountNotFound => (
                StatusCode::NOT_FOUND,
                "subaccount_not_found",
                "Subaccount not found",
                "The account has no subaccount with this id.",
            ),
            Self::SubaccountNameTaken => (
                StatusCode::CONFLICT,
                "name_taken",
                "Subaccount name already in use",
                "Field `name` is the name of another subaccount of the account.",
            ),
            Self::SubaccountLimit => {
                (StatusCode::FORBIDDEN, "subaccount_limit", "Account subaccount limit reached", "")
            }
            Self::WebhookNotFound => (
                StatusCode::NOT_FOUND,
                "webhook_not_found",
                "Webhook not found",
                "The account has no webhook with this id.",
            ),
            Self::WebhookInactive => (
                StatusCode::CONFLICT,
                "webhook_inactive",
                "Webhook inactive",
                "Nothing is sent to the webhook until it is active again.",
            ),
            Self::WebhookLimit => (StatusCode::FORBIDDEN, "webhook_limit", "Account webhook limit reached", ""),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found", "There is nothing at this path."),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This path does not support the request's method.",
            ),
            Self::NameTaken => (
                StatusCode::CONFLICT,
                "name_taken",
                "API key name already in use",
                "Field `name` is the name of another API key of the account that is not revoked.",
            ),
            Self::SecretTaken => (
                StatusCode::CONFLICT,
                "key_taken",
                "API key already known",
                "Field `sha256` is that of an API key that there is, or was.",
            ),
            Self::Row { error, .. } => error.parts(),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
                "The body must be JSON, with `Content-Type: application/json`.",
            ),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "Payload too large", ""),
            Self::TooManyLogins(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
                "Too many logins were tried. Please wait, and try again.",
            ),
            Self::TooManyCalls { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Rate limit exceeded", ""),
            Self::PasswordsBusy => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
                "Too many passwords are being hashed at once. Please try again.",
            ),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Service unavailable",
                "The request could not be completed now. Please try again.",
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "Something went wrong. The log of the control plane has the details.",
            ),
        }
    }
}

/// As the filter says it, in words that fit here.
fn key_refused(code: Code) -> (StatusCode, &'static str, &'static str, &'static str) {
    let (status, sentence) = match code {
        Code::AmbiguousKey => (StatusCode::UNAUTHORIZED, "The request has two different credentials."),
        Code::DisabledKey => (StatusCode::UNAUTHORIZED, "The API key, its owner or its account is disabled."),
        Code::ExpiredKey => (StatusCode::UNAUTHORIZED, "The API key has expired."),
        Code::IpDenied => (StatusCode::FORBIDDEN, "The API key may not be used from this address."),
        Code::OutOfScope => (StatusCode::FORBIDDEN, "The API key's scope does not include the service `latchkey`."),
        _ => (StatusCode::UNAUTHORIZED, "There is no such API key, or no more."),
    };
    (status, code.as_str(), "API key refused", sentence)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message, sentence) = self.parts();
        let retry_after = match self {
            Self::TooManyLogins(seconds) | Self::TooManyCalls { seconds, .. } => Some(HeaderValue::from(seconds)),
            Self::PasswordsBusy | Self::Unavailable(_) => Some(HeaderValue::from(1)),
            _ => None,
        };
        let (field, error) = self.told(code, sentence);
        let (error, field) = (redacted(&error), field.as_deref().map(redacted));
        let mut response = (status, Json(Body { status: "error", code, message, error, field })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl ApiError {
    /// The field that is to blame, and a sentence, which may be the one that all errors of the kind have.
    fn told(self, code: &'static str, sentence: &'static str) -> (Option<String>, String) {
        match self {
            Self::Invalid { field, error }
            | Self::MissingPermission { field, error }
            | Self::SubaccountDenied { field, error } => (field, error),
            Self::TooLarge(most) => (None, format!("The body must have at most {most} bytes.")),
            Self::TooManyCalls { limit, seconds } => {
                let limit = format!("You have exceeded your rate limit of {limit} requests per minute.");
                (None, format!("{limit} Please wait {seconds} seconds before retrying."))
            }
            Self::SubaccountLimit => (None, format!("An account can have at most {MAX_SUBACCOUNTS} subaccounts.")),
            Self::WebhookLimit => (None, format!("An account can have at most {MAX_WEBHOOKS} webhooks.")),
            Self::ServiceLimit => (None, format!("An account can have at most {MAX_SERVICES} services.")),
            Self::KeyLimit(most) => {
                (None, format!("The account may have at most {most} API keys that are not revoked."))
            }
            Self::TierExceeded { field, tier } => {
                let error = format!("Field `{field}` is above the account's tier `{tier}`.");
                (Some(field), error)
            }
            Self::TierInUse(name) => {
                let error = format!("Tier `{name}` is that of an account, or of an API key that is not revoked.");
                (Some("tiers".to_owned()), error)
            }
            Self::EmailTaken(field) => {
                (Some(field.to_owned()), format!("Field `{field}` is the email address of another user."))
            }
            Self::NameTaken | Self::SubaccountNameTaken | Self::ServiceNameTaken => {
                (Some("name".to_owned()), sentence.to_owned())
            }
            Self::SecretTaken => (Some("sha256".to_owned()), sentence.to_owned()),
            Self::Row { error, place } => match error.told(code, sentence) {
                (Some(field), error) => {
                    let whole = format!("{place}.{field}");
                    let error = error.replacen(&format!("`{field}`"), &format!("`{whole}`"), 1);
                    (Some(whole), error)
                }
                (None, error) => (Some(place), error),
            },
            Self::Unavailable(detail) | Self::Internal(detail) => {
                tracing::error!(code, detail, "a request failed");
                (None, sentence.to_owned())
            }
            _ => (None, sentence.to_owned()),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::SessionEnded => Self::Session,
            StoreError::KeyRefused(code) => Self::Key(code),
            StoreError::PermissionMissing(permission) => Self::missing_permission(permission),
            StoreError::NameTaken => Self::NameTaken,
            StoreError::SecretTaken => Self::SecretTaken,
            StoreError::Row { index, error } => Self::from(*error).of_row(index),
            StoreError::TierInUse(name) => Self::TierInUse(name),
            StoreError::KeyRevoked => Self::KeyRevoked,
            StoreError::UserNotFound => Self::UserNotFound,
            StoreError::EmailTaken => Self::EmailTaken("email"),
            StoreError::DeletesThemselves => Self::DeletesThemselves,
            StoreError::AccountNotFound => Self::AccountNotFound,
            StoreError::AccountClosed => Self::AccountClosed,
            StoreError::OperatorsAccount => Self::OperatorsAccount,
            StoreError::KeyLimit(most) => Self::KeyLimit(most),
            StoreError::TierExceeded { field, tier } => Self::TierExceeded { field, tier },
            StoreError::ServiceUnknown { index } => Self::field(
                &format!("scope[{index}]"),
                "is no service of the account: register it first, with POST /v1/services and its name",
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
            StoreError::KeyNotFound => Self::KeyNotFound,
            StoreError::TierNotFound { there_are } => {
                Self::field("tier", format_args!("must be one of {}", there_are.join(", ")))
            }
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Database(_)
            | StoreError::Damaged(_)
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
            None => Self::Invalid { field: None, error: format!("The body {}.", fault.reason) },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_hasher_is_told_as_what_it_is() {
        let error = ApiError::from(PasswordError::Busy);
        assert_eq!(error.parts().3, "Too many passwords are being hashed at once. Please try again.");
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
