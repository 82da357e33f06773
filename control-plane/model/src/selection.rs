//! Everything, now and in the future, or a list of names: a key's scope, a user's subaccounts.

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Schema};

use crate::schema::one_of;

const ALL: &str = "all";

/// `"all"` or a list of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// Everything that exists now or later.
    #[default]
    All,
    /// Only these names.
    Listed(Vec<String>),
}

impl Selection {
    /// Returns the listed names, or `None` for everything.
    pub fn listed(&self) -> Option<&[String]> {
        match self {
            Self::All => None,
            Self::Listed(names) => Some(names),
        }
    }

    /// Returns whether `name` is selected.
    pub fn has(&self, name: &str) -> bool {
        self.listed()
            .is_none_or(|names| names.iter().any(|listed| listed == name))
    }

    /// Returns whether everything in `other` is selected.
    pub fn has_all(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Listed(_), Self::All) => false,
            (Self::Listed(_), Self::Listed(names)) => names.iter().all(|name| self.has(name)),
        }
    }

    /// Returns the selection without listed names that are not in `names`.
    #[must_use]
    pub fn among(mut self, names: &[String]) -> Self {
        if let Self::Listed(listed) = &mut self {
            listed.retain(|name| names.contains(name));
        }
        self
    }

    /// Returns the intersection of both selections.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, other) => other.clone(),
            (listed, Self::All) => listed,
            (listed, Self::Listed(names)) => listed.among(names),
        }
    }

    /// Returns the canonical form, which is equal for equal selections: sorted, without duplicates.
    #[must_use]
    pub fn canonical(&self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Listed(names) => {
                let mut names = names.clone();
                names.sort_unstable();
                names.dedup();
                Self::Listed(names)
            }
        }
    }
}

impl From<Option<Vec<String>>> for Selection {
    fn from(listed: Option<Vec<String>>) -> Self {
        listed.map_or(Self::All, Self::Listed)
    }
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str(ALL),
            Self::Listed(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Selection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SelectionVisitor)
    }
}

/// Returns the schema of a selection whose list has `least` to `most` entries of `item`.
pub fn schema(item: RefOr<Schema>, least: usize, most: usize) -> OneOfBuilder {
    let list = ArrayBuilder::new()
        .items(item)
        .min_items(Some(least))
        .max_items(Some(most));
    OneOfBuilder::new().item(one_of([ALL])).item(list)
}

struct SelectionVisitor;

impl<'de> Visitor<'de> for SelectionVisitor {
    type Value = Selection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"all\" or a list of names")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Selection, E> {
        if word == ALL {
            Ok(Selection::All)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(word), &self))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Selection, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Selection::Listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Selection, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn selection_is_all_or_a_list() {
        for json in [r#""all""#, r#"["dns","cdn"]"#, "[]"] {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }

        for json in [r#""dns""#, r#""All""#, "null", "{}", "true"] {
            assert!(
                read(json)
                    .unwrap_err()
                    .contains("expected \"all\" or a list of names"),
                "{json}"
            );
        }

        assert!(read("[1]").unwrap_err().contains("expected a string"));
    }

    #[test]
    fn all_contains_every_list() {
        let listed =
            |names: &[&str]| Selection::Listed(names.iter().map(ToString::to_string).collect());
        let two = listed(&["a", "b"]);
        assert!(Selection::All.has("a") && two.has("a") && !two.has("c"));
        assert!(Selection::All.has_all(&Selection::All) && Selection::All.has_all(&two));
        assert!(two.has_all(&listed(&["b"])) && two.has_all(&listed(&[])));
        assert!(!two.has_all(&Selection::All) && !two.has_all(&listed(&["b", "c"])));
        assert_eq!(listed(&["b", "a", "b"]).canonical(), two);
        assert_eq!(
            two.clone().among(&["b".to_owned(), "c".to_owned()]),
            listed(&["b"])
        );
        assert_eq!(Selection::All.among(&[]), Selection::All);
    }

    #[test]
    fn intersection_is_within_both_selections() {
        let listed =
            |names: &[&str]| Selection::Listed(names.iter().map(ToString::to_string).collect());
        for (one, other, both) in [
            (Selection::All, Selection::All, Selection::All),
            (Selection::All, listed(&["a"]), listed(&["a"])),
            (listed(&["a"]), Selection::All, listed(&["a"])),
            (listed(&["a", "b"]), listed(&["b", "c"]), listed(&["b"])),
            (listed(&["a"]), listed(&["b"]), listed(&[])),
        ] {
            assert_eq!(one.and(&other), both);
        }
    }
}
