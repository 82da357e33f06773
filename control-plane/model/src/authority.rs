//! The roles and permissions of a user or a key.

use latchkey_policy::permission::{MAX_LEN, Malformed, Pattern, Permission, covers};
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::role::Role;
use crate::schema::matching;

/// A granted pattern, a string in JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant(Pattern);

impl Grant {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Pattern::parse(text).map(Self)
    }
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl PartialSchema for Grant {
    fn schema() -> RefOr<Schema> {
        let pattern = r"^(\*|(\*|[a-z0-9_-]+)(:(\*|[a-z0-9_-]+)){1,2})$";
        let description = "A permission such as `dns:read`, or a pattern in which `*` stands for \
        one or more whole segments.";
        matching(pattern)
            .max_length(Some(MAX_LEN))
            .description(Some(description))
            .into()
    }
}

impl ToSchema for Grant {}

/// Roles and additional permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    /// The roles, each with its patterns.
    pub roles: Vec<Role>,
    /// The patterns granted directly.
    pub permissions: Vec<Grant>,
}

impl Authority {
    /// Returns all its patterns, sorted and without duplicates.
    pub fn patterns(&self) -> Vec<Pattern> {
        let roles = self.roles.iter().copied().flat_map(Role::patterns);
        let mut patterns: Vec<_> = roles
            .chain(self.permissions.iter().map(|grant| grant.0.clone()))
            .collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }

    /// Returns the first role or permission that grants more than `held`, with the name of the list
    /// that contains it.
    pub fn beyond(&self, held: &Grants) -> Option<(&'static str, &str)> {
        let role = self.roles.iter().find(|role| !held.cover_role(**role));
        let permission = || self.permissions.iter().find(|grant| !held.cover(&grant.0));
        role.map(|role| ("roles", role.as_str()))
            .or_else(|| Some(("permissions", permission()?.0.as_str())))
    }

    /// Returns whether it grants everything.
    pub fn is_everything(&self) -> bool {
        let held = self.patterns();
        Role::ADMIN
            .patterns()
            .iter()
            .all(|pattern| covers(&held, pattern))
    }
}

/// The permissions that a user or a key holds: those that each of these sets of patterns covers. A
/// user has one set; a key has its own and its owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants(Vec<Vec<Pattern>>);

impl Grants {
    /// Returns what `authority` grants.
    pub fn new(authority: &Authority) -> Self {
        Self(vec![authority.patterns()])
    }

    /// Restricts the grants to those that `authority` grants, too.
    #[must_use]
    pub fn and(mut self, authority: &Authority) -> Self {
        self.0.push(authority.patterns());
        self
    }

    /// Returns whether `permission` is held. A text that is not a permission is not held.
    pub fn hold(&self, permission: &str) -> bool {
        Permission::parse(permission).is_ok_and(|permission| {
            self.0
                .iter()
                .all(|set| set.iter().any(|pattern| pattern.matches(&permission)))
        })
    }

    /// Returns whether every permission that `pattern` matches is held.
    pub fn cover(&self, pattern: &Pattern) -> bool {
        self.0.iter().all(|set| covers(set, pattern))
    }

    /// Returns whether every permission that `role` grants is held.
    pub fn cover_role(&self, role: Role) -> bool {
        role.patterns().iter().all(|pattern| self.cover(pattern))
    }

    /// Returns the patterns of the held permissions: from each set, those that all sets cover.
    pub fn patterns(&self) -> Vec<Pattern> {
        let mut patterns: Vec<_> = self
            .0
            .iter()
            .flatten()
            .filter(|pattern| self.cover(pattern))
            .cloned()
            .collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(roles: &[&str], permissions: &[&str]) -> Authority {
        let roles = roles
            .iter()
            .map(|name| Role::parse(name).unwrap())
            .collect();
        let permissions = permissions
            .iter()
            .map(|text| Grant::parse(text).unwrap())
            .collect();
        Authority { roles, permissions }
    }

    #[test]
    fn authority_is_roles_plus_permissions() {
        let both = authority(&["dns_manager", "cache_purger"], &["vm:read", "dns:*"]);
        let patterns: Vec<_> = both.patterns().iter().map(ToString::to_string).collect();
        assert_eq!(patterns, ["cache:purge", "dns:*", "vm:read"]);
    }

    #[test]
    fn first_grant_beyond_is_named() {
        let held = Grants::new(&authority(&["dns_manager"], &["vm:read"]));
        for (roles, permissions, beyond) in [
            (&[][..], &[][..], None),
            (&["dns_manager"], &["dns:read", "vm:read"], None),
            (
                &["dns_manager", "cache_purger"],
                &["vm:*"],
                Some(("roles", "cache_purger")),
            ),
            (&[], &["dns:read", "vm:*"], Some(("permissions", "vm:*"))),
            (&[], &["*"], Some(("permissions", "*"))),
        ] {
            assert_eq!(
                authority(roles, permissions).beyond(&held),
                beyond,
                "{roles:?} {permissions:?}"
            );
        }
    }

    #[test]
    fn key_authority_intersects_its_owner() {
        let held = Grants::new(&authority(&["dns_manager"], &["vm:read"]))
            .and(&authority(&[], &["dns:read", "vm:*"]));
        for (permission, holds) in [
            ("dns:read", true),
            ("vm:read", true),
            ("dns:write", false),
            ("vm:write", false),
            ("no permission", false),
        ] {
            assert_eq!(held.hold(permission), holds, "{permission}");
        }

        assert_eq!(authority(&[], &["dns:read"]).beyond(&held), None);
        assert_eq!(
            authority(&[], &["dns:*"]).beyond(&held),
            Some(("permissions", "dns:*"))
        );
        assert!(!held.cover_role(Role::parse("dns_manager").unwrap()));

        let patterns: Vec<_> = held.patterns().iter().map(ToString::to_string).collect();
        assert_eq!(patterns, ["dns:read", "vm:read"]);
    }

    #[test]
    fn all_spellings_of_everything_are_recognized() {
        assert!(authority(&["admin"], &[]).is_everything());
        assert!(authority(&[], &["*:*", "*:*:*"]).is_everything());
        assert!(!authority(&["read_only_admin"], &["*:write"]).is_everything());
        assert!(!Authority::default().is_everything());
    }
}
