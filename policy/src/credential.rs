//! Which key a request presents: `X-API-Key: <key>` or `Authorization: Bearer <key>`.

/// What was found in the places where keys are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// Nothing, or nothing but blanks.
    None,
    /// One key, perhaps more than once.
    One(&'a [u8]),
    /// Two different ones.
    Ambiguous,
}

impl<'a> Presented<'a> {
    fn and(self, key: &'a [u8]) -> Self {
        match self {
            Self::None => Self::One(key),
            Self::One(before) if before == key => self,
            Self::One(_) | Self::Ambiguous => Self::Ambiguous,
        }
    }
}

/// The values of the headers that can hold a key; the values of a header that was sent more than once joined by commas
/// (RFC 9110, section 5.3), as a key holds none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// `X-API-Key`.
    pub api_key: Option<&'a [u8]>,
    /// `Authorization`.
    pub authorization: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// The key that the request presents.
    pub fn presented(&self) -> Presented<'a> {
        let keys = self.api_key.into_iter().flat_map(values);
        keys.chain(self.bearer_tokens()).filter(|key| !key.is_empty()).fold(Presented::None, Presented::and)
    }

    /// Whether `Authorization` holds a bearer token, and so has to be kept from the upstream.
    pub fn has_bearer(&self) -> bool {
        self.bearer_tokens().next().is_some()
    }

    fn bearer_tokens(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.authorization.into_iter().flat_map(values).filter_map(|value| {
            let (scheme, token) = value.split_at_checked("bearer".len())?;
            let delimited = token.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
            (scheme.eq_ignore_ascii_case(b"bearer") && delimited).then(|| trim(token))
        })
    }
}

fn values(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split(|byte| *byte == b',').map(trim)
}

/// Without optional whitespace around (RFC 9110, section 5.6.3).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn api_key(value: &[u8]) -> Headers<'_> {
        Headers { api_key: Some(value), ..Headers::default() }
    }

    fn authorization(value: &[u8]) -> Headers<'_> {
        Headers { authorization: Some(value), ..Headers::default() }
    }

    #[test]
    fn a_key_is_found_in_either_place_with_blanks_around() {
        for value in ["k", " k", "k ", "\t k\t "] {
            assert_eq!(api_key(value.as_bytes()).presented(), Presented::One(b"k"), "{value:?}");
        }
        for value in ["Bearer k", "bearer k", "BEARER k", "  bEaReR \t k  "] {
            assert_eq!(authorization(value.as_bytes()).presented(), Presented::One(b"k"), "{value:?}");
        }
    }

    #[test]
    fn nothing_but_blanks_is_no_key() {
        assert_eq!(Headers::default().presented(), Presented::None);
        for value in ["", "  ", ",", " , ,"] {
            assert_eq!(api_key(value.as_bytes()).presented(), Presented::None, "{value:?}");
        }
        for value in ["", "Bearer", "Bearer  ", "bearer ,"] {
            assert_eq!(authorization(value.as_bytes()).presented(), Presented::None, "{value:?}");
        }
    }

    #[test]
    fn other_schemes_are_none_of_our_business() {
        for value in ["Basic dXNlcjpwYXNz", "Digest username=\"a\", realm=\"b\"", "Bearerk", "Bear er k"] {
            let headers = authorization(value.as_bytes());
            assert_eq!(headers.presented(), Presented::None, "{value:?}");
            assert!(!headers.has_bearer(), "{value:?}");
        }
        assert!(authorization(b"Basic x, Bearer k").has_bearer());
    }

    #[test]
    fn the_same_key_twice_is_one_key() {
        assert_eq!(api_key(b"k, k").presented(), Presented::One(b"k"));
        assert_eq!(authorization(b"Bearer k,bearer  k").presented(), Presented::One(b"k"));
        let both = Headers { api_key: Some(b"k"), authorization: Some(b"Bearer k") };
        assert_eq!(both.presented(), Presented::One(b"k"));
    }

    #[test]
    fn two_different_keys_are_ambiguous_wherever_they_are() {
        assert_eq!(api_key(b"k,l").presented(), Presented::Ambiguous);
        assert_eq!(api_key(b"k,l,k").presented(), Presented::Ambiguous);
        assert_eq!(authorization(b"Bearer k, Bearer l").presented(), Presented::Ambiguous);
        let both = Headers { api_key: Some(b"k"), authorization: Some(b"Bearer l") };
        assert_eq!(both.presented(), Presented::Ambiguous);
    }

    #[test]
    fn bytes_that_are_no_text_are_looked_at_all_the_same() {
        assert_eq!(api_key(b"\xff\xfe").presented(), Presented::One(b"\xff\xfe"));
        assert_eq!(authorization(b"Bearer \xff").presented(), Presented::One(b"\xff"));
    }
}
