//! Entity tags and conditional changes (RFC 9110, sections 8.8.3 and 13.1.1). They keep a client
//! from overwriting another client's change by accident.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::route_document::RouteDocument;
use crate::tier::Tier;

/// A strong entity tag, without its quotes. It is computed from the editable fields, never from
/// usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// Returns the tag of a resource of this kind with these editable values.
    pub fn new(kind: &str, edited: &impl Serialize) -> Self {
        // A value that cannot be serialized matches nothing, so changes are refused for it.
        let json = serde_json::to_vec(&(kind, edited)).unwrap_or_default();
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(json)))
    }

    /// Returns the tag as in the `ETag` header, in quotes.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// A resource that has an entity tag.
pub trait Tagged {
    /// Returns the current tag.
    fn entity_tag(&self) -> EntityTag;
}

impl Tagged for RouteDocument {
    fn entity_tag(&self) -> EntityTag {
        EntityTag::new("routes", self)
    }
}

impl Tagged for [Tier] {
    fn entity_tag(&self) -> EntityTag {
        EntityTag::new("tiers", &self)
    }
}

/// The `If-Match` header of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: any current version.
    Any,
    /// The strong tags of a list. Weak ones match nothing.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Parses the header's value. Several such headers are joined by commas.
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.trim_ascii() == b"*" {
            return Some(Self::Any);
        }

        let (mut rest, mut tags, mut any) = (value, Vec::new(), false);
        loop {
            // A recipient has to ignore empty elements of a list.
            rest = rest.trim_ascii_start();
            if let Some(after) = rest.strip_prefix(b",") {
                rest = after;
                continue;
            }
            if rest.is_empty() {
                return any.then_some(Self::Tags(tags));
            }
            let (weak, opaque) = rest
                .strip_prefix(b"W/")
                .map_or((false, rest), |opaque| (true, opaque));
            let opaque = opaque.strip_prefix(b"\"")?;
            let end = opaque.iter().position(|byte| *byte == b'"')?;
            let (tag, after) = opaque.split_at_checked(end)?;
            if tag.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f)) {
                return None;
            }
            any = true;
            if !weak {
                tags.push(String::from_utf8_lossy(tag).into_owned());
            }
            rest = after.get(1..)?.trim_ascii_start();
            if !(rest.is_empty() || rest.starts_with(b",")) {
                return None;
            }
        }
    }

    /// Returns whether a resource with this tag satisfies the condition.
    pub fn matches(&self, tag: &EntityTag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.contains(&tag.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_accepts_star_or_tags() {
        let tags = |tags: &[&str]| {
            Some(IfMatch::Tags(
                tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ))
        };
        for (value, parsed) in [
            ("*", Some(IfMatch::Any)),
            (" * ", Some(IfMatch::Any)),
            ("\"a\"", tags(&["a"])),
            ("\"\"", tags(&[""])),
            ("\"a\", \"b,c\"\t,\"d e\"", None),
            ("\"a\", \"b,c\"\t,\"d\"", tags(&["a", "b,c", "d"])),
            (", ,\"a\",,", tags(&["a"])),
            ("W/\"a\"", tags(&[])),
            ("W/\"a\", \"b\"", tags(&["b"])),
            ("", None),
            (" , ", None),
            ("a", None),
            ("\"a", None),
            ("\"a\" \"b\"", None),
            ("\"a\"b", None),
            ("w/\"a\"", None),
            ("W/ \"a\"", None),
            ("*, \"a\"", None),
            ("\"a\", *", None),
        ] {
            assert_eq!(IfMatch::parse(value.as_bytes()), parsed, "{value}");
        }
    }

    #[test]
    fn weak_tags_match_nothing() {
        let tag = EntityTag("a".to_owned());
        for (value, matches) in [
            ("*", true),
            ("\"a\"", true),
            ("\"b\", \"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
        ] {
            assert_eq!(
                IfMatch::parse(value.as_bytes()).unwrap().matches(&tag),
                matches,
                "{value}"
            );
        }

        assert!(
            IfMatch::parse(tag.quoted().as_bytes())
                .unwrap()
                .matches(&tag)
        );
    }
}
