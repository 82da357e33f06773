//! Sets of header names that also find other spellings of these names.
//!
//! Many servers hand headers to programs as variables (CGI, PHP, WSGI). They replace characters
//! that a variable's name cannot have, so that `x.latchkey.identity` and `x_latchkey_identity`
//! arrive as `x-latchkey-identity`.

use std::collections::BTreeSet;

/// Header names, compared as such servers compare them: without regard to case, and with every
/// character that is neither letter nor digit taken for the same one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderNames {
    names: BTreeSet<Box<str>>,
    /// One bit for each length that a name has; the last bit for all longer ones.
    lengths: u64,
}

impl HeaderNames {
    /// Returns whether `name` is one of the names, in exactly this spelling. Names are in lower
    /// case.
    pub fn has(&self, name: &[u8]) -> bool {
        self.may_have(name) && self.names.iter().any(|known| known.as_bytes() == name)
    }

    /// Returns whether `name` is one of the names, in any spelling. Pseudo-headers are not.
    pub fn has_any_spelling(&self, name: &[u8]) -> bool {
        self.may_have(name)
            && name.first() != Some(&b':')
            && self.names.iter().any(|known| is_spelling(known, name))
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Returns whether one of the names has the length of `name`. This check rules out almost all
    /// other names.
    fn may_have(&self, name: &[u8]) -> bool {
        self.lengths & bit(name.len()) != 0
    }
}

impl<N: Into<Box<str>>> FromIterator<N> for HeaderNames {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let names: BTreeSet<Box<str>> = names.into_iter().map(Into::into).collect();
        let lengths = names.iter().fold(0, |bits, name| bits | bit(name.len()));
        Self { names, lengths }
    }
}

/// Returns whether `name` can arrive as `known`: the same letters in any case and the same digits,
/// and any other character where `known` has one.
pub fn is_spelling(known: &str, name: &[u8]) -> bool {
    known.len() == name.len()
        && known
            .bytes()
            .zip(name)
            .all(|(known, byte)| folded(known) == folded(*byte))
}

fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

fn bit(length: usize) -> u64 {
    u32::try_from(length)
        .ok()
        .and_then(|length| 1u64.checked_shl(length))
        .unwrap_or(1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::is_token;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn names() -> HeaderNames {
        ["x-latchkey-identity", "x-sub", "x-h2"]
            .into_iter()
            .collect()
    }

    /// Every character that a header's name can have (RFC 9110, section 5.6.2), in each of the
    /// hyphens' places.
    #[test]
    fn hyphens_have_other_spellings() {
        let names = names();
        let characters: Vec<u8> = (0..=u8::MAX).filter(|byte| is_token(&[*byte])).collect();
        assert_eq!(characters.len(), 15 + 62);
        for byte in characters {
            for at in [1, 10] {
                let mut name = b"X-Latchkey-Identity".to_vec();
                name[at] = byte;
                assert_eq!(
                    names.has_any_spelling(&name),
                    !byte.is_ascii_alphanumeric(),
                    "{byte}"
                );
            }
        }
    }

    #[test]
    fn other_letters_are_other_names() {
        let names = names();
        for own in [
            "x-sub",
            "X-SUB",
            "x_sub",
            "x.sub",
            "~-sUb",
            "x-h2",
            "x h2",
            "x\u{1}sub",
        ] {
            let expected = own != "~-sUb";
            assert_eq!(names.has_any_spelling(own.as_bytes()), expected, "{own}");
        }
        for other in [
            "x-su",
            "x--sub",
            "xsub",
            "x-h1",
            "x-hh",
            ":-sub",
            "",
            "x-latchkey-identitx",
            "x2sub",
        ] {
            assert!(!names.has_any_spelling(other.as_bytes()), "{other}");
        }
        assert!(names.has_any_spelling(b"x\xffsub"));
        assert!(names.has(b"x-sub") && !names.has(b"x_sub") && !names.has(b"X-Sub"));
        assert!(!HeaderNames::default().has_any_spelling(b""));
    }

    #[test]
    fn pseudo_headers_are_never_a_spelling() {
        let names: HeaderNames = ["-path"].into_iter().collect();
        assert!(names.has_any_spelling(b"_path") && !names.has_any_spelling(b":path"));
    }

    #[test]
    fn long_names_share_a_bit() {
        let (long, longer) = ("x".repeat(63), "x".repeat(200));
        let names: HeaderNames = [long.as_str(), &longer].into_iter().collect();
        assert!(names.has(long.as_bytes()) && names.has_any_spelling(longer.as_bytes()));
        assert!(
            !names.has_any_spelling("x".repeat(201).as_bytes())
                && !names.has("x".repeat(62).as_bytes())
        );
    }
}
