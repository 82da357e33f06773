//! ARIA attributes that describe the errors of form fields to assistive technology.

use crate::api::Refusal;

/// Returns `aria-invalid` for the field of that name.
pub(super) fn invalid(refusal: Option<&Refusal>, name: &str) -> Option<&'static str> {
    refusal
        .filter(|refusal| refusal.is_about(name))
        .map(|_| "true")
}

/// Returns `aria-describedby` for the field of that name: the ids of its help, if it has one, and
/// of the error from `widgets::error`.
pub(super) fn described(
    refusal: Option<&Refusal>,
    name: &str,
    help: Option<&str>,
) -> Option<String> {
    let error = invalid(refusal, name).map(|_| format!("{name}-error"));
    match (help, error) {
        (Some(help), Some(error)) => Some(format!("{help} {error}")),
        (Some(help), None) => Some(help.to_owned()),
        (None, error) => error,
    }
}
