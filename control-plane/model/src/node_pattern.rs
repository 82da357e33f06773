//! Patterns of Envoy's `node.id`, which restrict a node token to some nodes.

use crate::text;

/// A pattern in which `*` matches any number of characters, also none. Every other character
/// matches itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePattern(String);

/// The text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must have 1 to {} bytes and no control or format characters",
    NodePattern::MAX_LEN
)]
pub struct InvalidPattern;

impl NodePattern {
    /// The maximum length of a pattern in bytes, as for a `node.id`.
    pub const MAX_LEN: usize = 256;

    /// Parses a pattern.
    ///
    /// # Errors
    /// Fails if it is empty, too long, or has control or format characters.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if (1..=Self::MAX_LEN).contains(&text.len()) && text::is_plain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPattern)
        }
    }

    /// Returns the pattern that matches every node, also one without a `node.id`.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Returns the pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the whole of `node_id` matches.
    pub fn matches(&self, node_id: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), node_id.as_bytes());
        let (mut at, mut read) = (0, 0);

        // After the last `*` so far: the position at which the pattern continues, and the end of
        // the text that the `*` matches.
        let mut retry = None;
        while read < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    at += 1;
                    retry = Some((at, read));
                }
                Some(byte) if *byte == text[read] => (at, read) = (at + 1, read + 1),
                _ => {
                    let Some((after, reach)) = retry else {
                        return false;
                    };
                    retry = Some((after, reach + 1));
                    (at, read) = (after, reach + 1);
                }
            }
        }

        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_whole_node_ids() {
        for (pattern, node_id, expected) in [
            ("edge-1", "edge-1", true),
            ("edge-1", "edge-10", false),
            ("edge-1", "xedge-1", false),
            ("edge-*", "edge-1", true),
            ("edge-*", "edge-", true),
            ("edge-*", "edge", false),
            ("*-eu", "edge-us-eu", true),
            ("*-eu", "edge-eu-1", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abbbc", true),
            ("a*b*c", "acb", false),
            ("*a", "aaaa", true),
            ("*", "", true),
            ("**", "", true),
            ("edge-*", "", false),
            ("edge?1", "edge-1", false),
            ("édge-*", "édge-1", true),
        ] {
            let parsed = NodePattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(node_id), expected, "{pattern} {node_id}");
        }

        assert!(NodePattern::any().matches("") && NodePattern::any().matches("edge-1"));
    }

    #[test]
    fn pattern_takes_bounded_time() {
        let pattern = NodePattern::parse(&"*a".repeat(128)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(255))));
    }

    #[test]
    fn empty_long_unprintable_patterns_are_refused() {
        for text in ["", "a\n", &"x".repeat(257)] {
            assert_eq!(NodePattern::parse(text), Err(InvalidPattern), "{text:?}");
        }
    }
}
