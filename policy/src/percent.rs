//! Texts of requests in which bytes may be written as escapes (RFC 3986, section 2.1), read without
//! allocating.

use std::cmp::Ordering;
use std::fmt;

/// The encoding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// Every byte is itself.
    Plain,
    /// `%` and two hexadecimal digits.
    Percent,
    /// The encoding `Percent`, and `+` for a blank.
    Form,
}

/// Part of a request, compared in decoded form.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    raw: &'a [u8],
    encoding: Encoding,
}

impl<'a> Text<'a> {
    /// Creates the text of a header: every byte is itself.
    pub(crate) fn of_header(raw: &'a [u8]) -> Self {
        Self {
            raw,
            encoding: Encoding::Plain,
        }
    }

    /// Creates the text of a path.
    pub(crate) fn of_path(raw: &'a [u8]) -> Self {
        // Most paths have no escapes, and are compared as they are.
        let encoding = if raw.contains(&b'%') {
            Encoding::Percent
        } else {
            Encoding::Plain
        };
        Self { raw, encoding }
    }

    /// Creates the text of a name or a value in a query.
    pub(crate) fn of_query(raw: &'a [u8]) -> Self {
        Self {
            raw,
            encoding: Encoding::Form,
        }
    }

    /// Returns the decoded bytes. An invalid escape stays as it is.
    pub(crate) fn bytes(self) -> Bytes<'a> {
        Bytes(self)
    }

    /// Returns the decoded characters; bytes that are not UTF-8 are replaced, not necessarily by
    /// U+FFFD.
    pub(crate) fn chars(self) -> Chars<'a> {
        Chars(self.bytes())
    }

    /// Returns the order of this text and `other`, by their decoded bytes.
    pub fn compare(self, other: &str) -> Ordering {
        match self.encoding {
            Encoding::Plain => self.raw.cmp(other.as_bytes()),
            Encoding::Percent | Encoding::Form => self.bytes().cmp(other.bytes()),
        }
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.compare(other).is_eq()
    }
}

/// Text for people: allocates, and replaces bytes that are not UTF-8.
impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes().collect::<Vec<_>>()))
    }
}

/// The decoded bytes of a text.
#[derive(Debug, Clone)]
pub(crate) struct Bytes<'a>(Text<'a>);

impl Iterator for Bytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let Text { raw, encoding } = &mut self.0;
        let (byte, behind) = raw.split_first()?;
        let (byte, behind) = match (byte, *encoding) {
            (b'%', Encoding::Percent | Encoding::Form) => escaped(behind).unwrap_or((b'%', behind)),
            (b'+', Encoding::Form) => (b' ', behind),
            (byte, _) => (*byte, behind),
        };
        *raw = behind;
        Some(byte)
    }
}

/// The decoded characters of a text.
#[derive(Debug, Clone)]
pub(crate) struct Chars<'a>(Bytes<'a>);

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.0.next()?;
        let (more, bits) = match first {
            0..0x80 => return Some(char::from(first)),
            0x80..0xe0 => (1, first & 0x1f),
            0xe0..0xf0 => (2, first & 0x0f),
            _ => (3, first & 0x07),
        };

        let mut code = u32::from(bits);
        for _ in 0..more {
            code = code << 6 | u32::from(self.0.next().unwrap_or_default() & 0x3f);
        }
        Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// Decodes the two digits after a `%`, and returns the byte with the bytes after them.
fn escaped(behind: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], rest) = behind.split_first_chunk()?;
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    Some((digit(high)? << 4 | digit(low)?, rest))
}

/// Returns whether every `%` begins a valid escape.
pub(crate) fn is_well_formed(raw: &[u8]) -> bool {
    raw.split(|byte| *byte == b'%')
        .skip(1)
        .all(|behind| escaped(behind).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn escapes_are_decoded_once() {
        for (raw, path, query) in [
            ("a", "a", "a"),
            ("%61%7a", "az", "az"),
            ("%2541", "%41", "%41"),
            ("a+b", "a+b", "a b"),
            ("%2B", "+", "+"),
            ("%C3%a9", "é", "é"),
            ("%", "%", "%"),
            ("%4", "%4", "%4"),
            ("%zz%", "%zz%", "%zz%"),
        ] {
            assert_eq!(Text::of_path(raw.as_bytes()), *path, "{raw}");
            assert_eq!(Text::of_query(raw.as_bytes()), *query, "{raw}");
            assert_eq!(Text::of_header(raw.as_bytes()), *raw);
            assert_eq!(Text::of_path(raw.as_bytes()).to_string(), path);
        }
    }

    #[test]
    fn characters_are_decoded_as_utf_8() {
        for text in [
            "",
            "az",
            "é",
            "aé€\u{10400}z",
            "\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        ] {
            assert!(
                Text::of_path(text.as_bytes()).chars().eq(text.chars()),
                "{text}"
            );
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            assert!(
                Text::of_path(escaped.as_bytes()).chars().eq(text.chars()),
                "{text}"
            );
        }
        assert!(
            Text::of_path(b"\xff\xc3").chars().count() > 0,
            "whatever it is, it ends"
        );
    }

    #[test]
    fn texts_are_ordered_by_bytes() {
        assert_eq!(Text::of_path(b"%61").compare("b"), Ordering::Less);
        assert_eq!(Text::of_path(b"a%62").compare("a"), Ordering::Greater);
        assert_eq!(Text::of_path(b"%c3%a9").compare("z"), Ordering::Greater);
        assert_eq!(Text::of_path(b"").compare(""), Ordering::Equal);
    }

    #[test]
    fn an_escape_has_two_digits() {
        for raw in ["", "a", "%41", "%4a%4A", "%25"] {
            assert!(is_well_formed(raw.as_bytes()), "{raw}");
        }
        for raw in ["%", "%4", "%%41", "%4g", "a%41%", "%+1"] {
            assert!(!is_well_formed(raw.as_bytes()), "{raw}");
        }
    }
}
