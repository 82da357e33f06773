//! What parts of bodies must be, wherever they occur.

use super::error::ApiError;
use crate::secret::Password;
use crate::selection::Selection;

/// Entries that one list can have, other than of IP addresses.
pub(super) const MAX_ENTRIES: usize = 256;

pub(super) const MAX_NAME_LEN: usize = 100;
pub(super) const MAX_DESCRIPTION_LEN: usize = 500;
/// RFC 5321, by way of its erratum 1690.
pub(super) const MAX_EMAIL_LEN: usize = 254;
pub(super) const MAX_WORD_LEN: usize = 64;

/// What people call something: not empty without the blanks around it, which are cut off.
pub(super) fn name(field: &str, text: &str) -> Result<String, ApiError> {
    let name = text.trim().to_owned();
    if !(1..=MAX_NAME_LEN).contains(&name.chars().count()) {
        return Err(ApiError::field(field, format_args!("must have 1 to {MAX_NAME_LEN} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(ApiError::field(field, "must not have control characters"));
    }
    Ok(name)
}

/// An email address, in lower case.
pub(super) fn email(field: &str, text: &str) -> Result<String, ApiError> {
    let email = text.trim().to_lowercase();
    let (user, host) = email.split_once('@').unwrap_or_default();
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    if user.is_empty()
        || host.is_empty()
        || host.contains('@')
        || email.len() > MAX_EMAIL_LEN
        || !email.chars().all(plain)
    {
        let reason = format_args!("must be an email address of at most {MAX_EMAIL_LEN} bytes");
        return Err(ApiError::field(field, reason));
    }
    Ok(email)
}

/// A password that somebody chose.
pub(super) fn password(field: &str, password: &Password) -> Result<(), ApiError> {
    if password.long_enough() {
        Ok(())
    } else {
        Err(ApiError::field(field, format_args!("must have at least {} characters", Password::MIN_LEN)))
    }
}

/// What else there is to say, at some length.
pub(super) fn description(text: Option<String>) -> Result<Option<String>, ApiError> {
    if text.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION_LEN) {
        let reason = format_args!("must have at most {MAX_DESCRIPTION_LEN} characters");
        return Err(ApiError::field("description", reason));
    }
    Ok(text)
}

/// What machines call something: a service, a tier.
pub(super) fn word(field: &str, text: &str) -> Result<(), ApiError> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=MAX_WORD_LEN).contains(&text.len()) && text.bytes().all(plain) {
        Ok(())
    } else {
        Err(ApiError::field(field, format_args!("must have 1 to {MAX_WORD_LEN} characters of a-z, 0-9, _ and -")))
    }
}

/// Not more entries than a list can have.
pub(super) fn bounded<T>(field: &str, list: &[T]) -> Result<(), ApiError> {
    if list.len() <= MAX_ENTRIES {
        Ok(())
    } else {
        Err(ApiError::field(field, format_args!("must have at most {MAX_ENTRIES} entries")))
    }
}

/// Not more than a list can have.
pub(super) fn selection(field: &str, selection: &Selection) -> Result<(), ApiError> {
    bounded(field, selection.listed().unwrap_or_default())
}

/// All services, or at least one by name.
pub(super) fn scope(field: &str, scope: &Selection) -> Result<(), ApiError> {
    let Some(services) = scope.listed() else { return Ok(()) };
    if services.is_empty() {
        return Err(ApiError::field(field, "must be \"all\" or name at least one service"));
    }
    bounded(field, services)?;
    services.iter().enumerate().try_for_each(|(index, service)| word(&format!("{field}[{index}]"), service))
}
