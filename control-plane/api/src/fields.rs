//! Checks of fields that occur in several bodies.

use latchkey_model::secret::Password;
use latchkey_model::selection::Selection;
use latchkey_model::text;
use latchkey_store::KeySort;

use super::error::ApiError;

/// The maximum number of entries of a list, other than of IP addresses.
pub(crate) const MAX_ENTRIES: usize = 256;

pub(crate) const MAX_WORD_LEN: usize = 64;

/// The maximum number of days until the keys of a list expire: a century.
pub(crate) const MAX_DAYS: u32 = 36_500;

/// The words that sort a list of keys, ascending by default and descending with a leading `-`.
pub(crate) const SORTS: [(&str, (KeySort, bool)); 8] = [
    ("created_at", (KeySort::CreatedAt, false)),
    ("-created_at", (KeySort::CreatedAt, true)),
    ("name", (KeySort::Name, false)),
    ("-name", (KeySort::Name, true)),
    ("expires_at", (KeySort::ExpiresAt, false)),
    ("-expires_at", (KeySort::ExpiresAt, true)),
    ("last_used_at", (KeySort::LastUsedAt, false)),
    ("-last_used_at", (KeySort::LastUsedAt, true)),
];

/// Returns the name as it is stored. See [`text::name`].
pub(crate) fn name(field: &str, text: &str) -> Result<String, ApiError> {
    text::name(text).map_err(|reason| ApiError::field(field, reason))
}

/// Returns the email address as it is stored. See [`text::email`].
pub(crate) fn email(field: &str, text: &str) -> Result<String, ApiError> {
    text::email(text).map_err(|reason| ApiError::field(field, reason))
}

/// Checks a new password.
pub(crate) fn password(field: &str, password: &Password) -> Result<(), ApiError> {
    if password.long_enough() {
        Ok(())
    } else {
        Err(ApiError::field(
            field,
            format_args!("must have at least {} characters", Password::MIN_LEN),
        ))
    }
}

/// Returns the description as it is stored. See [`text::description`].
pub(crate) fn description(text: Option<String>) -> Result<Option<String>, ApiError> {
    let stored = text.map(|text| text::description(&text)).transpose();
    stored.map_err(|reason| ApiError::field("description", reason))
}

/// Checks a name for machines, of a service, tier or node token.
pub(crate) fn word(field: &str, text: &str) -> Result<(), ApiError> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=MAX_WORD_LEN).contains(&text.len()) && text.bytes().all(plain) {
        Ok(())
    } else {
        Err(ApiError::field(
            field,
            format_args!("must have 1 to {MAX_WORD_LEN} characters of a-z, 0-9, _ and -"),
        ))
    }
}

/// Checks the length of a list.
pub(crate) fn bounded<T>(field: &str, list: &[T]) -> Result<(), ApiError> {
    if list.len() <= MAX_ENTRIES {
        Ok(())
    } else {
        Err(ApiError::field(
            field,
            format_args!("must have at most {MAX_ENTRIES} entries"),
        ))
    }
}

/// Checks the length of a selection.
pub(crate) fn selection(field: &str, selection: &Selection) -> Result<(), ApiError> {
    bounded(field, selection.listed().unwrap_or_default())
}

/// Checks a scope: all services, or at least one by name.
pub(crate) fn scope(field: &str, scope: &Selection) -> Result<(), ApiError> {
    let Some(services) = scope.listed() else {
        return Ok(());
    };
    if services.is_empty() {
        return Err(ApiError::field(
            field,
            "must be \"all\" or name at least one service",
        ));
    }
    bounded(field, services)?;
    services
        .iter()
        .enumerate()
        .try_for_each(|(index, service)| word(&format!("{field}[{index}]"), service))
}
