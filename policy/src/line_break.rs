//! The line break that a file, a Secret or a variable has when it was written with `echo`.

/// Returns `text` without one line break at its end, which is not part of a token or a password.
/// Every secret from a file or a variable goes through here.
pub fn without_line_break(text: &str) -> &str {
    text.strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn one_line_break_is_removed() {
        for (text, secret) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\n\n", "secret\n"),
            ("secret\r", "secret\r"),
            ("secret \n", "secret "),
            ("\nsecret", "\nsecret"),
            ("\r\n", ""),
            ("", ""),
        ] {
            assert_eq!(without_line_break(text), secret, "{text:?}");
        }
    }
}
