//! The predefined roles, under their names in the API and the store.
//! [`latchkey_policy::permission::roles`] defines them and their permissions.

use latchkey_policy::permission::Pattern;
use latchkey_policy::permission::roles::{ROLES, patterns};
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::schema::one_of;

/// A named set of permission patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(&'static str);

impl Role {
    /// The role that grants everything.
    pub const ADMIN: Self = Self(ROLES[0].0);

    /// Returns all roles.
    pub fn all() -> impl Iterator<Item = Self> {
        ROLES.iter().map(|(name, _)| Self(name))
    }

    /// Returns the name in the API, in the store and on the stream.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Parses a name, the inverse of [`as_str`](Self::as_str).
    pub fn parse(word: &str) -> Option<Self> {
        Self::all().find(|role| role.as_str() == word)
    }

    /// Returns the patterns of the role's permissions.
    pub fn patterns(self) -> Vec<Pattern> {
        patterns(self.0).unwrap_or_default()
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::as_str).collect();
            de::Error::custom(format_args!("must be one of {}", names.join(", ")))
        })
    }
}

impl PartialSchema for Role {
    fn schema() -> RefOr<Schema> {
        one_of(Self::all().map(Self::as_str))
            .description(Some("A predefined role."))
            .into()
    }
}

impl ToSchema for Role {}

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn roles_are_distinct_and_not_empty() {
        for role in Role::all() {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert!(!role.patterns().is_empty(), "{role:?}");
        }
        assert_eq!(Role::parse("Admin"), None);
    }
}
