//! Error responses: status, code, and the texts for people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use latchkey_model::schema::one_of;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::ApiError;
use super::from::key_refused;

/// `{"status":"error","code":…,"message":…,"error":…,"field":…}`
#[derive(Serialize, ToSchema)]
#[schema(as = Error, description = "An error response.")]
pub(crate) struct Body {
    #[schema(schema_with = error_status)]
    status: &'static str,
    /// The stable error code, for programs.
    #[schema(pattern = "^[a-z][a-z0-9_]*$", example = "invalid_request")]
    code: &'static str,
    /// The kind of error, for people.
    #[schema(example = "Invalid request")]
    message: &'static str,
    /// The cause in this case, as a sentence.
    #[schema(example = "Field `name` is missing.")]
    error: String,
    /// The field or parameter that caused the error, if it is a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "name")]
    field: Option<String>,
}

fn error_status() -> Object {
    one_of(["error"]).build()
}

impl ApiError {
    pub(crate) fn parts(&self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::Invalid { .. } => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "Invalid request",
                "",
            ),
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
            Self::MissingPermission { .. } => (
                StatusCode::FORBIDDEN,
                "missing_permission",
                "Permission missing",
                "",
            ),
            Self::SubaccountDenied { .. } => (
                StatusCode::FORBIDDEN,
                "subaccount_denied",
                "Subaccount denied",
                "",
            ),
            Self::KeyNotFound => (
                StatusCode::NOT_FOUND,
                "key_not_found",
                "API key not found",
                "The account has no API key with this id.",
            ),
            Self::AccountNotFound => (
                StatusCode::NOT_FOUND,
                "account_not_found",
                "Account not found",
                "No account has this id.",
            ),
            Self::AccountClosed => (
                StatusCode::CONFLICT,
                "account_closed",
                "Account closed",
                "The account is closed. Closing is permanent; create a new account.",
            ),
            Self::OperatorsAccount => (
                StatusCode::CONFLICT,
                "operators_account",
                "Operator's account",
                "The operator's own account can be neither disabled nor closed.",
            ),
            Self::KeyLimit(_) | Self::HeldKeyLimit(_) => (
                StatusCode::FORBIDDEN,
                "key_limit",
                "Account key limit reached",
                "",
            ),
            Self::TierExceeded { .. } => (
                StatusCode::FORBIDDEN,
                "tier_exceeded",
                "Account tier exceeded",
                "",
            ),
            Self::NodeNotFound => (
                StatusCode::NOT_FOUND,
                "node_not_found",
                "Node not found",
                "No node has this handle.",
            ),
            Self::NodeConnected => (
                StatusCode::CONFLICT,
                "node_connected",
                "Node connected",
                "The node is connected. Only a lost node can be forgotten.",
            ),
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
            Self::ServiceLimit => (
                StatusCode::FORBIDDEN,
                "service_limit",
                "Account service limit reached",
                "",
            ),
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
                "You cannot delete your own user. Ask another administrator.",
            ),
            Self::UserNotFound => (
                StatusCode::NOT_FOUND,
                "user_not_found",
                "User not found",
                "The account has no user with this id.",
            ),
            Self::EmailTaken(_) => (
                StatusCode::CONFLICT,
                "email_taken",
                "Email address already in use",
                "",
            ),
            Self::LastAdministrator => (
                StatusCode::CONFLICT,
                "last_administrator",
                "Last administrator",
                "The account needs at least one enabled user who holds `*` and may act on all \
                subaccounts.",
            ),
            Self::TierInUse(_) => (StatusCode::CONFLICT, "tier_in_use", "Tier in use", ""),
            Self::PreconditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                "Precondition failed",
                "The resource has changed: no entity tag in `If-Match` is the current one. Get it \
                again.",
            ),
            Self::IdempotencyConflict => (
                StatusCode::CONFLICT,
                "idempotency_conflict",
                "Idempotency key already in use",
                "This `Idempotency-Key` was used with a different body. Use a new key for each \
                new call.",
            ),
            Self::IdempotencyLimit => (
                StatusCode::FORBIDDEN,
                "idempotency_limit",
                "Too many repeatable calls",
                "The account has made too many calls with an `Idempotency-Key` in the last 24 \
                hours. Send the call without one.",
            ),
            Self::KeyExpired => (
                StatusCode::CONFLICT,
                "key_expired",
                "API key expired",
                "The API key has expired. To use it again, send `expires_at` with a time in the \
                future or null.",
            ),
            Self::OverlapRunning => (
                StatusCode::CONFLICT,
                "overlap_running",
                "Overlap running",
                "The previous secret is still valid. Wait until it ends, or send an overlap of 0 \
                seconds to end all older secrets at once.",
            ),
            Self::KeyRevoked => (
                StatusCode::CONFLICT,
                "key_revoked",
                "API key revoked",
                "The API key is revoked. Revocation is permanent; create a new key.",
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
            Self::SubaccountLimit => (
                StatusCode::FORBIDDEN,
                "subaccount_limit",
                "Account subaccount limit reached",
                "",
            ),
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
                "The webhook is inactive. Activate it before you send anything to it.",
            ),
            Self::WebhookBusy(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
                "",
            ),
            Self::DeliveryNotFound => (
                StatusCode::NOT_FOUND,
                "delivery_not_found",
                "Delivery not found",
                "The webhook has no delivery with this id. Finished deliveries are kept for seven \
                days.",
            ),
            Self::WebhookLimit => (
                StatusCode::FORBIDDEN,
                "webhook_limit",
                "Account webhook limit reached",
                "",
            ),
            Self::NodeTokenNotFound => (
                StatusCode::NOT_FOUND,
                "node_token_not_found",
                "Node token not found",
                "The node token does not exist or has been revoked.",
            ),
            Self::NodeTokenNameTaken => (
                StatusCode::CONFLICT,
                "name_taken",
                "Node token name already in use",
                "Field `name` is the name of another valid node token.",
            ),
            Self::NodeTokenTaken => (
                StatusCode::CONFLICT,
                "token_taken",
                "Node token already known",
                "Field `sha256` is the digest of a node token that exists or has been revoked.",
            ),
            Self::NodeTokenLimit => (
                StatusCode::FORBIDDEN,
                "node_token_limit",
                "Node token limit reached",
                "",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not_found",
                "Not found",
                "This path does not exist.",
            ),
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
                "Field `sha256` is the digest of an API key that exists or has been revoked.",
            ),
            Self::AtRestKeyMissing => (
                StatusCode::CONFLICT,
                "at_rest_key_missing",
                "At-rest key missing",
                "The control plane has no at-rest key to encrypt imported keys with. An operator \
                must set one: see \
                 `latchkey at-rest-key generate`.",
            ),
            Self::Row { error, .. } => error.parts(),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
                "The body must be JSON, with `Content-Type: application/json`.",
            ),
            Self::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "Request timeout",
                "The body did not arrive within 5 seconds.",
            ),
            Self::TooLarge(_) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "Payload too large",
                "",
            ),
            Self::TooManyLogins(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
                "Too many login attempts. Please wait and try again.",
            ),
            Self::TooManyConflicts(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_conflicts",
                "Too many requests",
                "Too many of your calls named email addresses or keys that are already taken. \
                Please wait and try again.",
            ),
            Self::TooManyCalls { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "Rate limit exceeded",
                "",
            ),
            Self::PasswordsBusy => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
                "Too many passwords are being hashed at once. Please try again.",
            ),
            Self::TooManyReads => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
                "Too many of your lists are being read at once. Please try again.",
            ),
            Self::ReadTooLong => (
                StatusCode::SERVICE_UNAVAILABLE,
                "read_too_long",
                "Read too long",
                "Reading the list took longer than 3 seconds. Narrow its filter, its search or its time range.",
            ),
            Self::NotReady(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "not_ready",
                "Not ready",
                "",
            ),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Service unavailable",
                "The request could not be completed now. Please try again.",
            ),
            Self::OutcomeUnknown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "outcome_unknown",
                "Outcome unknown",
                "The request took too long. The change may still be made: check its result before \
                you repeat it.",
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

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message, _) = self.parts();
        let retry_after = match self {
            Self::TooManyLogins(seconds)
            | Self::TooManyConflicts(seconds)
            | Self::TooManyCalls { seconds, .. }
            | Self::WebhookBusy(seconds) => Some(HeaderValue::from(seconds)),
            Self::PasswordsBusy
            | Self::TooManyReads
            | Self::ReadTooLong
            | Self::Unavailable(_)
            | Self::NotReady(_) => Some(HeaderValue::from(1)),
            _ => None,
        };
        let (_, error, field) = self.summary();
        let mut response = (
            status,
            Json(Body {
                status: "error",
                code,
                message,
                error,
                field,
            }),
        )
            .into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
