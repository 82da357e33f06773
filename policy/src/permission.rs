//! Permissions, and the patterns by which keys and users hold them.
//!
//! A permission is two or three segments joined by colons: `resource:action` or `group:resource:action`, such as
//! `datacenter_shared:read` and `account:apikeys:create`. A pattern's `*` stands for one or more whole segments.

use std::fmt;

/// Segments of a permission at least, and of permissions and patterns at most.
const MIN_SEGMENTS: usize = 2;
const MAX_SEGMENTS: usize = 3;

/// Characters in a permission or a pattern.
pub const MAX_LEN: usize = 128;

const ANY: &str = "*";

/// A text that is no permission, or no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No permission.
    #[error("must be `resource:action` or `group:resource:action`, each of a-z, 0-9, _ and -, 128 characters at most")]
    Permission,
    /// No pattern.
    #[error(
        "must be one to three segments joined by colons, each `*` or of a-z, 0-9, _ and -, 128 characters at most; \
         without a `*`, two or three"
    )]
    Pattern,
}

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission(Box<str>);

impl Permission {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let segments = segments(text);
        let well_formed = text.len() <= MAX_LEN
            && (MIN_SEGMENTS..=MAX_SEGMENTS).contains(&segments.clone().count())
            && segments.clone().all(is_literal);
        if well_formed { Ok(Self(text.into())) } else { Err(Malformed::Permission) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which permissions somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Reads one. A permission is a pattern as well, of nothing but itself.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let segments = segments(text);
        let count = segments.clone().count();
        let has_any = segments.clone().any(|segment| segment == ANY);
        let least = if has_any { 1 } else { MIN_SEGMENTS };
        let well_formed = text.len() <= MAX_LEN
            && (least..=MAX_SEGMENTS).contains(&count)
            && segments.clone().all(|segment| segment == ANY || is_literal(segment));
        if well_formed { Ok(Self(text.into())) } else { Err(Malformed::Pattern) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it gives `permission`.
    pub fn matches(&self, permission: &Permission) -> bool {
        matches(segments(&self.0), segments(&permission.0))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether whoever holds `held` holds all that `pattern` gives.
pub fn covers(held: &[Pattern], pattern: &Pattern) -> bool {
    let pattern: Vec<_> = segments(&pattern.0).collect();
    // A permission has three segments at most, so a pattern has few shapes. In each, what a `*` stands for is a segment
    // that no pattern names: whoever holds that holds every other.
    (MIN_SEGMENTS..=MAX_SEGMENTS).all(|count| {
        shapes(&pattern, count)
            .iter()
            .all(|shape| held.iter().any(|held| matches(segments(&held.0), shape.iter().copied())))
    })
}

/// The ways in which a pattern can have `count` segments, each `*` that it is drawn out to standing for itself.
fn shapes<'a>(pattern: &[&'a str], count: usize) -> Vec<Vec<&'a str>> {
    let Some((first, rest)) = pattern.split_first() else {
        return if count == 0 { vec![Vec::new()] } else { Vec::new() };
    };
    let most = if *first == ANY { count } else { count.min(1) };
    let mut all = Vec::new();
    for taken in 1..=most {
        for tail in shapes(rest, count.saturating_sub(taken)) {
            all.push(std::iter::repeat_n(*first, taken).chain(tail).collect());
        }
    }
    all
}

fn segments(text: &str) -> std::str::Split<'_, char> {
    text.split(':')
}

fn matches<'p, 's>(
    mut pattern: impl Iterator<Item = &'p str> + Clone,
    mut segments: impl Iterator<Item = &'s str> + Clone,
) -> bool {
    match (pattern.next(), segments.next()) {
        (None, None) => true,
        (Some(ANY), Some(_)) => {
            // One segment less each time, of three at most.
            let mut rest = segments;
            loop {
                if matches(pattern.clone(), rest.clone()) {
                    return true;
                }
                if rest.next().is_none() {
                    return false;
                }
            }
        }
        (Some(literal), Some(segment)) => literal == segment && matches(pattern, segments),
        _ => false,
    }
}

fn is_literal(segment: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    !segment.is_empty() && segment.bytes().all(plain)
}
