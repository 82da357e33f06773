//! Segments as upstreams read them that ignore letter case, and dots and blanks at a segment's end.
//!
//! Letters are folded one by one, as Unicode's simple case folding does it (`ß` stays one letter,
//! and is not `ss`); the dotted and the dotless `i` of Turkish are `i` as well. Forms of
//! compatibility, such as full-width letters, are other letters.

use super::segment::Segment;
use crate::percent::Text;
use std::cmp::Ordering;

/// What is ignored of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// Letter case.
    Case,
    /// Letter case, and dots and blanks at the end. A segment of nothing else is left out.
    CaseAndEnd,
}

/// A segment that is compared to a literal of the rules.
pub(super) trait Comparable: Copy {
    /// Its place before or behind `literal`, by their bytes.
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
    /// ASCII without escapes, which most are.
    Ascii(&'a [u8]),
    /// So many characters of any text.
    Any(Text<'a>, usize),
}

impl<'a> Folded<'a> {
    /// Folds a segment of a path that could be read; `None` if it is to be left out.
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
            // Characters have the order of their bytes.
            Self::Any(text, kept) => text.chars().take(kept).map(folded).cmp(literal.chars()),
        }
    }
}

/// A rule's segments, folded.
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

/// How many characters there are before the dots and blanks at the end.
fn kept(characters: impl Iterator<Item = char>) -> usize {
    (1..)
        .zip(characters)
        .filter(|(_, character)| !is_dropped(*character))
        .map(|(count, _)| count)
        .last()
        .unwrap_or(0)
}

/// Whether there are only dots and blanks, and a dot among them: without its blanks it may be `.`
/// or `..`.
pub(super) fn is_dots_and_blanks(mut characters: impl Iterator<Item = char>) -> bool {
    let mut dots = false;
    characters.all(|character| {
        dots |= is_dot(character);
        is_dropped(character)
    }) && dots
}

/// Dots and blanks: those of ASCII, what Unicode says is white space, characters without width, and
/// the dots that Unicode takes for a full stop in names.
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
            // By way of the capital: some letters have two small forms, such as `σ` and `ς`.
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
