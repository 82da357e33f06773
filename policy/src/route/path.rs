//! Paths that can be read in one way only, and their segments.

use super::fold::{Fold, Folded, is_dots_and_blanks};
use crate::credential::split_query;
use crate::percent::{Text, is_well_formed};

/// The reason why a path could be read in more than one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// `*`, a whole URL, or an empty path.
    #[error("must begin with `/`")]
    Relative,
    /// An empty segment (`//`), which some readers merge.
    #[error("has an empty segment (`//`)")]
    EmptySegment,
    /// `.` and `..`, escaped or not, which some readers resolve.
    #[error("has a segment `.` or `..`, perhaps escaped")]
    DotSegment,
    /// `%2f`, `%5c` and `\`, which some readers take for `/`.
    #[error("has a `\\`, or an escaped `/` or `\\`")]
    Separator,
    /// `;`, escaped or not, from which on some readers drop a segment.
    #[error("has a `;`, escaped or not")]
    Semicolon,
    /// Control characters, escaped or not, at which some readers stop.
    #[error("has a control character, escaped or not")]
    Control,
    /// `#` and `?`, escaped or not, at which readers stop that decode escapes first.
    #[error("has a `#` or a `?`, escaped or not")]
    Delimiter,
    /// A blank, at which some readers stop.
    #[error("has a space; write it as `%20`")]
    Blank,
    /// A `%` without two hexadecimal digits.
    #[error("has a `%` that is not followed by two hexadecimal digits")]
    Escape,
    /// Bytes that are not UTF-8, which some readers replace.
    #[error("is not UTF-8 after unescaping")]
    Encoding,
    /// An escaped escape: a reader that decodes escapes a second time reads something else.
    #[error("is still escaped after unescaping")]
    EscapedTwice,
}

/// A path that can be read in one way only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    segments: &'a [u8],
    /// True if a quick check shows that folding changes nothing, as for most paths.
    folded: bool,
}

impl<'a> Path<'a> {
    /// Reads `:path`, up to the query.
    pub(super) fn read(target: &'a [u8]) -> Result<Self, Ambiguity> {
        let segments = split_query(target)
            .0
            .strip_prefix(b"/")
            .ok_or(Ambiguity::Relative)?;
        let mut folded = true;

        if !segments.is_empty() {
            let segments = segments.strip_suffix(b"/").unwrap_or(segments);
            for segment in segments.split(is_slash) {
                folded &= check(segment)?;
            }
        }
        Ok(Self { segments, folded })
    }

    /// Returns whether the path has no letter of another case, no dot or blank at a segment's end,
    /// no escapes and only ASCII.
    pub(super) fn is_folded(self) -> bool {
        self.folded
    }

    /// Returns the path's segments, folded.
    pub(super) fn folded_segments(self, fold: Fold) -> impl Iterator<Item = Folded<'a>> + Clone {
        self.raw_segments()
            .filter_map(move |segment| Folded::new(segment, fold))
    }

    /// Returns the segments as they are written.
    pub(super) fn raw_segments(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        // The path was checked: its only empty segment is after a slash at the end.
        self.segments
            .split(is_slash)
            .filter(|segment| !segment.is_empty())
    }

    /// Returns the segments as they are compared.
    pub(super) fn segments(self) -> impl Iterator<Item = Text<'a>> + Clone {
        self.raw_segments().map(Text::of_path)
    }
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

/// Returns whether a byte is a character that every reader takes literally. Most segments have only
/// these. They are those of RFC 3986's `pchar`, without `%` and `;`.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
}

/// The kinds of bytes in a segment, as bits: capitals, and bytes that are not plain.
const CAPITAL: u8 = 1;
const NOT_PLAIN: u8 = 2;

/// The bits of each byte: one look at each is all that most segments take.
// Evaluated while it is compiled, where an index out of bounds is an error.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        // Lossless: below 256.
        #[allow(clippy::cast_possible_truncation)]
        let character = byte as u8;
        kinds[byte] = if !is_plain(character) {
            NOT_PLAIN
        } else if character.is_ascii_uppercase() {
            CAPITAL
        } else {
            0
        };
        byte += 1;
    }
    kinds
};

/// Checks a segment. Returns whether a quick check shows that folding changes nothing.
fn check(segment: &[u8]) -> Result<bool, Ambiguity> {
    let kinds = segment.iter().fold(0, |kinds, byte| {
        kinds | KINDS.get(usize::from(*byte)).copied().unwrap_or(NOT_PLAIN)
    });
    match segment {
        b"" => Err(Ambiguity::EmptySegment),
        b"." | b".." => Err(Ambiguity::DotSegment),
        _ if kinds & NOT_PLAIN != 0 => check_closely(segment).map(|()| false),
        [.., last] => Ok(kinds == 0 && *last != b'.'),
    }
}

fn check_closely(segment: &[u8]) -> Result<(), Ambiguity> {
    if segment.contains(&b' ') {
        return Err(Ambiguity::Blank);
    }

    if !is_well_formed(segment) {
        return Err(Ambiguity::Escape);
    }

    let text = Text::of_path(segment);
    if text == *"." || text == *".." {
        return Err(Ambiguity::DotSegment);
    }

    // An upstream that ignores blanks, or takes other dots for full stops, reads it as a dot
    // segment.
    let is_run_of_dots = text.bytes().all(|byte| byte == b'.');
    if !is_run_of_dots && is_dots_and_blanks(text.chars()) {
        return Err(Ambiguity::DotSegment);
    }

    let mut before = [0; 2];
    for byte in text.bytes() {
        match (before, byte) {
            (_, b'/' | b'\\') => return Err(Ambiguity::Separator),
            (_, b';') => return Err(Ambiguity::Semicolon),
            (_, b'#' | b'?') => return Err(Ambiguity::Delimiter),
            ([b'%', high], low) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                return Err(Ambiguity::EscapedTwice);
            }
            _ => {}
        }
        let [_, last] = before;
        before = [last, byte];
    }

    check_characters(text.bytes())
}

/// Checks that the bytes are characters, and that none is a control character.
fn check_characters(mut bytes: impl Iterator<Item = u8>) -> Result<(), Ambiguity> {
    while let Some(first) = bytes.next() {
        // The length comes from the first byte; whether it is right is not decided here.
        let len: usize = match first {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let mut character = [first, 0, 0, 0];
        let character = character.get_mut(..len).unwrap_or_default();
        for place in character.iter_mut().skip(1) {
            *place = bytes.next().ok_or(Ambiguity::Encoding)?;
        }
        let character = std::str::from_utf8(character).map_err(|_| Ambiguity::Encoding)?;
        if character.contains(char::is_control) {
            return Err(Ambiguity::Control);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
