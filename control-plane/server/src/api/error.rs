//! What a refused request is answered. Codes are stable; what only the operator should see goes to
//! the log.

mod answer;
mod from;
mod sentence;

use latchkey_model::json::Fault;
use latchkey_policy::verdict::Code;
use latchkey_store::{Exceeded, Lasting};
use std::fmt::Display;

pub(super) use answer::Body;

/// So many faults of one document are told at once.
pub(super) const MAX_FAULTS: usize = 20;

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
    /// With expired keys that Envoys still know, the account has twice as many keys as it may: so
    /// many.
    HeldKeyLimit(u32),
    /// A key would be above its account's tier.
    TierExceeded {
        /// What of the key.
        field: String,
        /// The account's.
        tier: String,
    },
    /// No lost node has the handle.
    NodeNotFound,
    /// The node has a stream.
    NodeConnected,
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
    /// What there is has none of the entity tags of `If-Match`.
    PreconditionFailed,
    /// A call with the same `Idempotency-Key` had another body.
    IdempotencyConflict,
    /// The account has too many repeatable calls.
    IdempotencyLimit,
    /// The key has expired, and would get no later expiry.
    KeyExpired,
    /// An old secret of the key is still good.
    OverlapRunning,
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
    /// Too many deliveries of the webhook were asked for: for how many seconds none can be.
    WebhookBusy(u32),
    /// The webhook has no such delivery, or no longer.
    DeliveryNotFound,
    /// There is no valid node token of that name.
    NodeTokenNotFound,
    /// A valid node token has the name.
    NodeTokenNameTaken,
    /// The token is a node token, or was one.
    NodeTokenTaken,
    /// There are as many valid node tokens as there can be.
    NodeTokenLimit,
    /// There is nothing at that path.
    NotFound,
    /// There is, but not for that method.
    MethodNotAllowed,
    /// A live key has the name.
    NameTaken,
    /// The digest is that of a key, or was.
    SecretTaken,
    /// There is no at-rest key, so no key is imported.
    AtRestKeyMissing,
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
    /// The body did not come in time.
    BodyTimeout,
    /// A login for that address may be tried again after so many seconds.
    TooManyLogins(u32),
    /// The caller was refused too often because of what other accounts have, and may try again
    /// after so many seconds.
    TooManyConflicts(u32),
    /// The caller has made as many calls as they can, and may make another after so many seconds.
    TooManyCalls {
        /// Calls a minute.
        limit: u32,
        /// Until there are more.
        seconds: u32,
    },
    /// So many passwords are hashed or verified that this one has to come again.
    PasswordsBusy,
    /// Too many lists and reports of the caller are being read, or wait.
    TooManyReads,
    /// A list or a report took too long.
    ReadTooLong,
    /// It cannot do its work, for this reason.
    NotReady(String),
    /// It was not done in time, and a change may still be made.
    OutcomeUnknown,
    /// It may work later. The detail is for the log.
    Unavailable(String),
    /// It is our fault. The detail is for the log.
    Internal(String),
}

impl ApiError {
    /// `field` is to blame; `reason` goes on from its name, as in "must be …".
    pub(super) fn field(field: &str, reason: impl Display) -> Self {
        Self::Invalid {
            field: Some(field.to_owned()),
            error: format!("Field `{field}` {reason}."),
        }
    }

    /// Several fields are to blame. The first [`MAX_FAULTS`] are told of; the first is the one that
    /// is named.
    pub(super) fn faults(faults: Vec<Fault>) -> Self {
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

    /// The same about the row of that index in `keys`, from 0.
    pub(super) fn of_row(self, index: usize) -> Self {
        Self::Row {
            error: Box::new(self),
            place: format!("keys[{index}]"),
        }
    }

    /// The query parameter `name` is to blame.
    pub(super) fn parameter(name: &str, reason: impl Display) -> Self {
        Self::Invalid {
            field: Some(name.to_owned()),
            error: format!("Query parameter `{name}` {reason}."),
        }
    }

    /// The header `name` is to blame.
    pub(super) fn header(name: &str, reason: impl Display) -> Self {
        Self::Invalid {
            field: Some(name.to_owned()),
            error: format!("Header `{name}` {reason}."),
        }
    }

    /// The caller lacks `permission`.
    pub(super) fn missing_permission(permission: &str) -> Self {
        Self::MissingPermission {
            field: None,
            error: format!("This takes the permission `{permission}`."),
        }
    }

    /// `field` would give `name`, a role or a permission, to somebody else.
    pub(super) fn grants_more(field: &str, name: &str) -> Self {
        let error = format!("Field `{field}` gives `{name}`, which you do not hold yourself.");
        Self::MissingPermission {
            field: Some(field.to_owned()),
            error,
        }
    }

    /// The request would make a key good for more that has `name`, a role or a permission.
    pub(super) fn key_has_more(name: &str) -> Self {
        let error = format!(
            "The API key has `{name}`, which you do not hold yourself, so you may only narrow it."
        );
        Self::MissingPermission { field: None, error }
    }

    /// The request would make a key good for more that may act on more subaccounts.
    pub(super) fn key_selects_more() -> Self {
        let error = "The API key may act on subaccounts that you may not act on yourself, so you may only narrow it.";
        Self::SubaccountDenied {
            field: None,
            error: error.to_owned(),
        }
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
        let error =
            "Field `scope` gives services that your own API key is not good for.".to_owned();
        Self::MissingPermission {
            field: Some("scope".to_owned()),
            error,
        }
    }

    /// A field exceeds what the calling key has, or can give.
    pub(super) fn exceeds_own_key(Exceeded { field, reason }: &Exceeded) -> Self {
        let error = format!("Field `{field}` {reason}, as your own API key can give no more.");
        Self::MissingPermission {
            field: Some(field.clone()),
            error,
        }
    }

    /// The calling key would be valid for more, by `field`.
    pub(super) fn widens_itself(field: &str) -> Self {
        let error = format!(
            "Field `{field}` would make your own API key valid for more, which no key can do for itself."
        );
        Self::MissingPermission {
            field: Some(field.to_owned()),
            error,
        }
    }

    /// The calling key is kept to `what`, and `lasting` would not be.
    pub(super) fn restricted_key(what: &str, lasting: Lasting) -> Self {
        let lasting = lasting.as_str();
        let error =
            format!("Your API key is kept to {what}, and {lasting} would not be. Use a session.");
        Self::MissingPermission { field: None, error }
    }

    /// `field` names a subaccount that the caller may not act on.
    pub(super) fn subaccount_denied(field: &str) -> Self {
        let error = format!("Field `{field}` selects what you may not act on yourself.");
        Self::SubaccountDenied {
            field: Some(field.to_owned()),
            error,
        }
    }

    /// The request would act on a user who may act on more subaccounts.
    pub(super) fn selects_more() -> Self {
        let error = "The user may act on subaccounts that you may not act on yourself.".to_owned();
        Self::SubaccountDenied { field: None, error }
    }
}
