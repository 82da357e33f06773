//! Permissions, and the patterns by which keys and users hold them.
//!
//! A permission is two or three segments joined by colons: `resource:action` or
//! `group:resource:action`, such as `datacenter_shared:read` and `account:apikeys:create`. A
//! pattern's `*` matches one or more whole segments.

pub mod roles;

use std::fmt;
use std::ops::RangeInclusive;

/// The lowest number of segments of a permission, and the highest of permissions and patterns.
const MIN_SEGMENTS: usize = 2;
const MAX_SEGMENTS: usize = 3;

/// The highest number of characters in a permission or a pattern.
pub const MAX_LEN: usize = 128;

const ANY: &str = "*";

/// The shortest form of [`ANY`]: it matches as few segments as a permission can have.
const LEAST_OF_ANY: &str = "*:*";

/// A text that is no permission, or no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The text is not a permission.
    #[error(
        "must be `resource:action` or `group:resource:action`, each of a-z, 0-9, _ and -, 128 characters at most"
    )]
    Permission,
    /// The text is not a pattern.
    #[error(
        "must be `*`, or two or three segments joined by colons, each `*` or of a-z, 0-9, _ and -, 128 characters at most"
    )]
    Pattern,
}

/// A permission that a request needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission(Box<str>);

impl Permission {
    /// Parses a permission.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let well_formed = well_formed(text, MIN_SEGMENTS..=MAX_SEGMENTS, is_literal);
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(Malformed::Permission)
        }
    }

    /// Returns the permission as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pattern for the permissions that a key or a user holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Parses a pattern. A permission is a pattern as well, which matches only itself.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        // The single segment `*` can match a whole permission; no other single segment can.
        let least = if text == ANY { 1 } else { MIN_SEGMENTS };
        let well_formed = well_formed(text, least..=MAX_SEGMENTS, |segment| {
            segment == ANY || is_literal(segment)
        });
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(Malformed::Pattern)
        }
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the pattern grants `permission`.
    pub fn matches(&self, permission: &Permission) -> bool {
        matches(segments(&self.0), segments(&permission.0))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether a holder of `held` holds all that `pattern` grants. A `*` is taken for more than
/// any list of permissions can name one by one, also where [`MAX_LEN`] leaves it few characters.
pub fn covers(held: &[Pattern], pattern: &Pattern) -> bool {
    // This is the permission with the fewest segments that the pattern grants, with a word that no
    // permission has for each `*`. A holder holds it only by a pattern with a `*` in each of those
    // places, and that pattern grants all the other permissions.
    let least = if pattern.as_str() == ANY {
        LEAST_OF_ANY
    } else {
        pattern.as_str()
    };
    held.iter()
        .any(|held| matches(segments(&held.0), segments(least)))
}

fn segments(text: &str) -> std::str::Split<'_, char> {
    text.split(':')
}

/// Returns whether `pattern` matches `segments`. It calls itself once or twice for each segment, of
/// which patterns have three at most.
fn matches<'p, 's>(
    mut pattern: impl Iterator<Item = &'p str> + Clone,
    mut segments: impl Iterator<Item = &'s str> + Clone,
) -> bool {
    let whole = pattern.clone();
    match (pattern.next(), segments.next()) {
        (None, None) => true,
        // The `*` ends with this segment, or goes on.
        (Some(ANY), Some(_)) => matches(pattern, segments.clone()) || matches(whole, segments),
        (Some(literal), Some(segment)) => literal == segment && matches(pattern, segments),
        _ => false,
    }
}

/// Returns whether `text` has `count` segments, `allows` accepts each of them, and it is not too
/// long.
fn well_formed(text: &str, count: RangeInclusive<usize>, allows: impl Fn(&str) -> bool) -> bool {
    text.len() <= MAX_LEN && count.contains(&segments(text).count()) && segments(text).all(allows)
}

fn is_literal(segment: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    !segment.is_empty() && segment.bytes().all(plain)
}

#[cfg(test)]
mod tests;
