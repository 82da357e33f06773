//! The errors of the API and their responses. Details meant only for the operator go to the log.

mod catalogue;
mod conversions;
mod response;
mod rows;

use latchkey_model::json::Fault;
use latchkey_store::{Exceeded, Lasting};
use std::fmt::Display;

pub(crate) use catalogue::ApiError;
pub use catalogue::ERRORS;
pub(crate) use response::Report;
pub use rows::ErrorRow;

/// The maximum number of faults of one document that are reported.
pub(crate) const MAX_FAULTS: usize = 20;

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
        let listed = faults
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
        let error = format!("{}{more}.", listed.collect::<Vec<_>>().join("; "));
        Self::Invalid {
            field: faults.into_iter().find_map(|fault| fault.field),
            error,
        }
    }

    /// The same error, attributed to the row of that index in `keys`, from 0.
    pub(crate) fn in_row(self, index: usize) -> Self {
        Self::Row {
            error: Box::new(self),
            place: format!("keys[{index}]"),
        }
    }

    /// Returns the text with the position of the row in the field's name.
    fn text_in_row(&self, place: &str) -> String {
        let text = self.text();
        match self.field_at_fault() {
            Some(field) => text.replacen(&format!("`{field}`"), &format!("`{place}.{field}`"), 1),
            None => text,
        }
    }

    /// Returns the field at fault within the row, or the row itself.
    fn field_in_row(&self, place: &str) -> String {
        match self.field_at_fault() {
            Some(field) => format!("{place}.{field}"),
            None => place.to_owned(),
        }
    }

    /// An internal error, which is only logged.
    pub(crate) fn internal(error: impl Display) -> Self {
        Self::Internal {
            detail: error.to_string(),
        }
    }

    /// A temporary failure, which is only logged.
    pub(crate) fn unavailable(error: impl Display) -> Self {
        Self::Unavailable {
            detail: error.to_string(),
        }
    }

    /// The service at `index` of a key's scope does not exist.
    fn unknown_service(index: usize) -> Self {
        Self::field(
            &format!("scope[{index}]"),
            "is not a service of the account: register it first with POST /v1/services",
        )
    }

    /// The tier in `field` is none of the existing ones.
    fn unknown_tier(field: &str, existing: &[String]) -> Self {
        Self::field(
            field,
            format_args!("must be one of {}", existing.join(", ")),
        )
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
