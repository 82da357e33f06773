//! Names in HTTP.

/// Returns whether the text is a `token` (RFC 9110, section 5.6.2): the name of a header, a method.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Returns whether the text is a method that everybody reads as the same: some take `get` for
/// `GET`.
pub fn is_method(text: &[u8]) -> bool {
    is_token(text) && !text.iter().any(u8::is_ascii_lowercase)
}
