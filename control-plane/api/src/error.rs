//! The errors of the API and their responses. Codes are stable; details meant only for the operator
//! go to the log.

mod answer;
mod from;
mod sentence;

use latchkey_model::json::Fault;
use latchkey_policy::verdict::Code;
use latchkey_store::{Exceeded, Lasting};
use std::fmt::Display;

pub(crate) use answer::Body;

/// The maximum number of faults of one document that are reported.
pub(crate) const MAX_FAULTS: usize = 20;

/// The reason why a request is refused.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The request is invalid.
    Invalid {
        /// The field at fault, if it is a single one.
        field: Option<String>,
        /// A sentence.
        error: String,
    },
    /// The email address or the password is wrong. The response does not reveal which.
    Credentials,
    /// The session token is missing, or its session has ended.
    Session,
    /// An API key that is refused as a credential.
    Key(Code),
    /// The caller lacks a permission that the request requires.
    MissingPermission {
        /// The field that would grant it to another user or key, if any.
        field: Option<String>,
        /// A sentence.
        error: String,
    },
    /// The caller may not act on a subaccount.
    SubaccountDenied {
        /// The body's field that names the subaccount, if any.
        field: Option<String>,
        /// A sentence.
        error: String,
    },
    /// The account has no API key with this id.
    KeyNotFound,
    /// The account does not exist.
    AccountNotFound,
    /// The account is permanently closed.
    AccountClosed,
    /// The operator's account would be disabled or closed.
    OperatorsAccount,
    /// The account has reached its maximum number of keys.
    KeyLimit(u32),
    /// The account has twice its maximum number of keys, including expired keys that Envoys still
    /// hold. Contains that maximum.
    HeldKeyLimit(u32),
    /// A key would be above its account's tier.
    TierExceeded {
        /// The key's field.
        field: String,
        /// The account's tier.
        tier: String,
    },
    /// No lost node has the handle.
    NodeNotFound,
    /// The node has a stream.
    NodeConnected,
    /// The account has no service of this name.
    ServiceNotFound,
    /// Another service of the account has the name.
    ServiceNameTaken,
    /// The account has reached the maximum number of services.
    ServiceLimit,
    /// The scope of a live key lists the service.
    ServiceInUse,
    /// The account has no user with this id.
    UserNotFound,
    /// Another user has the email address in this field.
    EmailTaken(&'static str),
    /// Callers cannot delete themselves.
    DeletesThemselves,
    /// The account would be left without an administrator.
    LastAdministrator,
    /// A tier that would be removed is in use by an account or a live key.
    TierInUse(String),
    /// No entity tag of `If-Match` matches the current version.
    PreconditionFailed,
    /// The `Idempotency-Key` was used with a different body.
    IdempotencyConflict,
    /// The account has too many recorded calls with an `Idempotency-Key`.
    IdempotencyLimit,
    /// The key has expired, and the request sets no later expiry.
    KeyExpired,
    /// An old secret of the key is still valid.
    OverlapRunning,
    /// The key is revoked.
    KeyRevoked,
    /// The account has no subaccount with this id.
    SubaccountNotFound,
    /// Another subaccount of the account has the name.
    SubaccountNameTaken,
    /// The account has reached the maximum number of subaccounts.
    SubaccountLimit,
    /// The account has no webhook with this id.
    WebhookNotFound,
    /// The webhook is inactive.
    WebhookInactive,
    /// The account has reached the maximum number of webhooks.
    WebhookLimit,
    /// Too many deliveries of the webhook were requested. Contains the seconds until the next is
    /// accepted.
    WebhookBusy(u32),
    /// The delivery does not exist or is no longer kept.
    DeliveryNotFound,
    /// No valid node token has the name.
    NodeTokenNotFound,
    /// Another valid node token has the name.
    NodeTokenNameTaken,
    /// The token is already a node token, or was one and has been revoked.
    NodeTokenTaken,
    /// The maximum number of valid node tokens is reached.
    NodeTokenLimit,
    /// The path does not exist.
    NotFound,
    /// The path exists, but does not support the method.
    MethodNotAllowed,
    /// Another live key has the name.
    NameTaken,
    /// The digest belongs or belonged to a key.
    SecretTaken,
    /// No at-rest key is configured, so keys cannot be imported.
    AtRestKeyMissing,
    /// One of several rows is invalid.
    Row {
        /// The row's error.
        error: Box<ApiError>,
        /// The row's position.
        place: String,
    },
    /// `Content-Type` is not `application/json`.
    UnsupportedMediaType,
    /// The body is longer than this number of bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    BodyTimeout,
    /// Too many logins. Contains the seconds until the next is accepted.
    TooManyLogins(u32),
    /// The caller caused too many conflicts with other accounts. Contains the seconds until the
    /// next call is accepted.
    TooManyConflicts(u32),
    /// The caller has reached the limit of calls a minute.
    TooManyCalls {
        /// The limit, in calls a minute.
        limit: u32,
        /// Seconds until the next call is accepted.
        seconds: u32,
    },
    /// Too many passwords are being hashed or verified.
    PasswordsBusy,
    /// Too many lists and reports of the caller are being read or waiting.
    TooManyReads,
    /// A list or a report took too long.
    ReadTooLong,
    /// The control plane is not ready, for this reason.
    NotReady(String),
    /// The request was not completed in time. The change may still be made.
    OutcomeUnknown,
    /// A temporary failure. The detail is only logged.
    Unavailable(String),
    /// An internal error. The detail is only logged.
    Internal(String),
}

impl ApiError {
    /// An error of `field`. `reason` continues a sentence that starts with the field's name, such
    /// as "must be …".
    pub(crate) fn field(field: &str, reason: impl Display) -> Self {
        Self::Invalid {
            field: Some(field.to_owned()),
            error: format!("Field `{field}` {reason}."),
        }
    }

    /// An error of several fields. Reports the first [`MAX_FAULTS`]; `field` is the first one.
    pub(crate) fn faults(faults: Vec<Fault>) -> Self {
        let told = faults
            .iter()
            .take(MAX_FAULTS)
            .map(|Fault { field, reason }| match field {
                Some(field) => format!("{field}: {reason}"),
                None => format!("The body {reason}"),
            });
        let more = match faults.len().saturating_sub(MAX_FAULTS) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let error = format!("{}{more}.", told.collect::<Vec<_>>().join("; "));
        Self::Invalid {
            field: faults.into_iter().find_map(|fault| fault.field),
            error,
        }
    }

    /// The same error, attributed to the row of that index in `keys`, from 0.
    pub(crate) fn of_row(self, index: usize) -> Self {
        Self::Row {
            error: Box::new(self),
            place: format!("keys[{index}]"),
        }
    }

    /// An error of the query parameter `name`.
    pub(crate) fn parameter(name: &str, reason: impl Display) -> Self {
        Self::Invalid {
            field: Some(name.to_owned()),
            error: format!("Query parameter `{name}` {reason}."),
        }
    }

    /// An error of the header `name`.
    pub(crate) fn header(name: &str, reason: impl Display) -> Self {
        Self::Invalid {
            field: Some(name.to_owned()),
            error: format!("Header `{name}` {reason}."),
        }
    }

    /// The caller lacks `permission`.
    pub(crate) fn missing_permission(permission: &str) -> Self {
        Self::MissingPermission {
            field: None,
            error: format!("This requires the permission `{permission}`."),
        }
    }

    /// `field` would grant `name`, a role or a permission, that the caller does not hold.
    pub(crate) fn grants_more(field: &str, name: &str) -> Self {
        let error = format!("Field `{field}` grants `{name}`, which you do not hold.");
        Self::MissingPermission {
            field: Some(field.to_owned()),
            error,
        }
    }

    /// The request would widen a key that has `name`, a role or a permission that the caller does
    /// not hold.
    pub(crate) fn key_has_more(name: &str) -> Self {
        let error = format!(
            "The API key has `{name}`, which you do not hold. You may only narrow this key."
        );
        Self::MissingPermission { field: None, error }
    }

    /// The request would widen a key that may act on more subaccounts than the caller.
    pub(crate) fn key_selects_more() -> Self {
        let error = "The API key may act on subaccounts that you may not act on. You may only \
        narrow this key.";
        Self::SubaccountDenied {
            field: None,
            error: error.to_owned(),
        }
    }

    /// The request would change a user who holds `name`, a role or a permission that the caller
    /// does not hold.
    pub(crate) fn holds_more(name: &str) -> Self {
        Self::MissingPermission {
            field: None,
            error: format!("The user holds `{name}`, which you do not hold."),
        }
    }

    /// The request would scope a key to services outside the calling key's scope.
    pub(crate) fn scope_denied() -> Self {
        let error = "Field `scope` includes services outside your own API key's scope.".to_owned();
        Self::MissingPermission {
            field: Some("scope".to_owned()),
            error,
        }
    }

    /// A field exceeds what the calling key may give.
    pub(crate) fn exceeds_own_key(Exceeded { field, reason }: &Exceeded) -> Self {
        let error = format!("Field `{field}` {reason}, because your own API key cannot give more.");
        Self::MissingPermission {
            field: Some(field.clone()),
            error,
        }
    }

    /// `field` would widen the calling key.
    pub(crate) fn widens_itself(field: &str) -> Self {
        let error = format!(
            "Field `{field}` would widen your own API key. An API key cannot widen itself."
        );
        Self::MissingPermission {
            field: Some(field.to_owned()),
            error,
        }
    }

    /// The calling key is restricted to `what`, and `lasting` would not be.
    pub(crate) fn restricted_key(what: &str, lasting: Lasting) -> Self {
        let lasting = lasting.as_str();
        let error = format!(
            "Your API key is restricted to {what}, and {lasting} would not be. Use a \
            session."
        );
        Self::MissingPermission { field: None, error }
    }

    /// `field` names a subaccount that the caller may not act on.
    pub(crate) fn subaccount_denied(field: &str) -> Self {
        let error = format!("Field `{field}` selects subaccounts that you may not act on.");
        Self::SubaccountDenied {
            field: Some(field.to_owned()),
            error,
        }
    }

    /// The request would change a user who may act on more subaccounts than the caller.
    pub(crate) fn selects_more() -> Self {
        let error = "The user may act on subaccounts that you may not act on.".to_owned();
        Self::SubaccountDenied { field: None, error }
    }
}
