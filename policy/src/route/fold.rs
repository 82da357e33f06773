//! Segments as read by upstreams that ignore letter case, and dots and blanks at a segment's end.
//!
//! Letters are folded one by one, by Unicode's simple case folding (`ß` stays one letter, and is
//! not `ss`); the dotted and the dotless `i` of Turkish are `i` as well. Compatibility forms, such
//! as full-width letters, are different letters.

use super::segment::Segment;
use crate::percent::Text;
use std::cmp::Ordering;

/// The differences between segments that are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// Letter case.
    Case,
    /// Letter case, and dots and blanks at the end. A segment of only these is left out.
    CaseAndEnd,
}

/// A segment that is compared to a literal of the rules.
pub(super) trait Comparable: Copy {
    /// Returns the order of the segment and `literal`, by their bytes.
    fn compare(self, literal: &str) -> Ordering;
}

impl Comparable for Text<'_> {
    fn compare(self, literal: &str) -> Ordering {
        Text::compare(self, literal)
    }
}

/// A request's segment, folded as it is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Folded<'a> {
    /// ASCII without escapes, as most segments are.
    Ascii(&'a [u8]),
    /// The first characters of any text, and their number.
    Any(Text<'a>, usize),
}

impl<'a> Folded<'a> {
    /// Folds a segment of a valid path; `None` if the segment is to be left out.
    pub(super) fn new(raw: &'a [u8], fold: Fold) -> Option<Self> {
        if raw.iter().all(|byte| byte.is_ascii() && *byte != b'%') {
            let kept = match fold {
                Fold::Case => raw.len(),
                Fold::CaseAndEnd => kept(raw.iter().map(|byte| char::from(*byte))),
            };
            return raw
                .get(..kept)
                .filter(|kept| !kept.is_empty())
                .map(Self::Ascii);
        }

        let text = Text::of_path(raw);
        let kept = match fold {
            Fold::Case => text.chars().count(),
            Fold::CaseAndEnd => kept(text.chars()),
        };
        (kept > 0).then_some(Self::Any(text, kept))
    }
}

impl Comparable for Folded<'_> {
    fn compare(self, literal: &str) -> Ordering {
        match self {
            Self::Ascii(raw) => raw.iter().map(u8::to_ascii_lowercase).cmp(literal.bytes()),
            // The order of characters is the order of their bytes.
            Self::Any(text, kept) => text.chars().take(kept).map(folded).cmp(literal.chars()),
        }
    }
}

/// Returns a rule's segments, folded.
pub(super) fn segments(segments: &[Segment], fold: Fold) -> Vec<Segment> {
    let folded = |segment: &Segment| match segment {
        Segment::Literal(text) => literal(text, fold).map(Segment::Literal),
        Segment::Parameter(_) => Some(segment.clone()),
    };
    segments.iter().filter_map(folded).collect()
}

fn literal(text: &str, fold: Fold) -> Option<Box<str>> {
    let kept = match fold {
        Fold::Case => usize::MAX,
        Fold::CaseAndEnd => kept(text.chars()),
    };
    let folded: String = text.chars().take(kept).map(folded).collect();
    (!folded.is_empty()).then(|| folded.into())
}

/// Returns the number of characters before the dots and blanks at the end.
fn kept(characters: impl Iterator<Item = char>) -> usize {
    (1..)
        .zip(characters)
        .filter(|(_, character)| !is_dropped(*character))
        .map(|(count, _)| count)
        .last()
        .unwrap_or(0)
}

/// Returns whether all characters are dots and blanks, and at least one is a dot: without its
/// blanks the segment may be `.` or `..`.
pub(super) fn is_dots_and_blanks(mut characters: impl Iterator<Item = char>) -> bool {
    let mut dots = false;
    characters.all(|character| {
        dots |= is_dot(character);
        is_dropped(character)
    }) && dots
}

/// Returns whether a character is dropped as a dot or a blank: those of ASCII, white space by
/// Unicode, characters without width, and the dots that Unicode takes for a full stop in names.
fn is_dropped(character: char) -> bool {
    match character {
        ' ' => true,
        '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => true,
        _ => is_dot(character) || (!character.is_ascii() && character.is_whitespace()),
    }
}

fn is_dot(character: char) -> bool {
    matches!(
        character,
        '.' | '\u{2024}' | '\u{3002}' | '\u{fe52}' | '\u{ff0e}' | '\u{ff61}'
    )
}

fn folded(character: char) -> char {
    match character {
        '\0'..='\x7f' => character.to_ascii_lowercase(),
        'İ' | 'ı' => 'i',
        // Their capitals have several letters.
        '\u{1fd3}' => '\u{390}',
        '\u{1fe3}' => '\u{3b0}',
        '\u{fb05}' => '\u{fb06}',
        _ => {
            // The letter is converted to its capital first: some letters have two small forms, such
            // as `σ` and `ς`.
            let capital = only(character.to_uppercase()).unwrap_or(character);
            only(capital.to_lowercase()).unwrap_or(capital)
        }
    }
}

fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next();
    first.filter(|_| characters.next().is_none())
}

#[cfg(test)]
mod tests;
