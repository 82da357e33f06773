//! What fields tell assistive technology of what is wrong with them.

use super::api::Refusal;

/// `aria-invalid` of the field of that name.
pub(super) fn invalid(refusal: Option<&Refusal>, name: &str) -> Option<&'static str> {
    refusal
        .filter(|refusal| refusal.is_about(name))
        .map(|_| "true")
}

/// `aria-describedby` of the field of that name: its help, if it has that, and what
/// `widgets::error` says.
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
