//! What somebody may do: the roles and permissions of a user or a key.

use latchkey_policy::permission::{Malformed, Pattern, covers};
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use crate::role::Role;

/// A pattern that was granted, as a text in JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant(Pattern);

impl Grant {
    /// Reads one.
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

/// What roles give, and what was granted besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    /// Each gives its patterns.
    pub roles: Vec<Role>,
    /// Patterns of their own.
    pub permissions: Vec<Grant>,
}

impl Authority {
    /// All that it gives, in order and each once.
    pub fn patterns(&self) -> Vec<Pattern> {
        let roles = self.roles.iter().copied().flat_map(Role::patterns);
        let mut patterns: Vec<_> = roles.chain(self.permissions.iter().map(|grant| grant.0.clone())).collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }

    /// The first role or permission that gives more than `held` does, and which of the two lists it is in.
    pub fn beyond(&self, held: &[Pattern]) -> Option<(&'static str, &str)> {
        let role = self.roles.iter().find(|role| !role.patterns().iter().all(|pattern| covers(held, pattern)));
        let permission = || self.permissions.iter().find(|grant| !covers(held, &grant.0));
        role.map(|role| ("roles", role.as_str())).or_else(|| Some(("permissions", permission()?.0.as_str())))
    }

    /// Whether it gives everything.
    pub fn is_everything(&self) -> bool {
        let held = self.patterns();
        Role::ADMIN.patterns().iter().all(|pattern| covers(&held, pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(roles: &[&str], permissions: &[&str]) -> Authority {
        let roles = roles.iter().map(|name| Role::parse(name).unwrap()).collect();
        let permissions = permissions.iter().map(|text| Grant::parse(text).unwrap()).collect();
        Authority { roles, permissions }
    }

    #[test]
    fn it_is_the_union_of_roles_and_permissions() {
        let both = authority(&["dns_manager", "cache_purger"], &["vm:read", "dns:*"]);
        let patterns: Vec<_> = both.patterns().iter().map(ToString::to_string).collect();
        assert_eq!(patterns, ["cache:purge", "dns:*", "vm:read"]);
    }

    #[test]
    fn what_goes_beyond_is_named() {
        let held = authority(&["dns_manager"], &["vm:read"]).patterns();
        for (roles, permissions, beyond) in [
            (&[][..], &[][..], None),
            (&["dns_manager"], &["dns:read", "vm:read"], None),
            (&["dns_manager", "cache_purger"], &["vm:*"], Some(("roles", "cache_purger"))),
            (&[], &["dns:read", "vm:*"], Some(("permissions", "vm:*"))),
            (&[], &["*"], Some(("permissions", "*"))),
        ] {
            assert_eq!(authority(roles, permissions).beyond(&held), beyond, "{roles:?} {permissions:?}");
        }
    }

    #[test]
    fn everything_is_everything_however_it_is_said() {
        assert!(authority(&["admin"], &[]).is_everything());
        assert!(authority(&[], &["*:*", "*:*:*"]).is_everything());
        assert!(!authority(&["read_only_admin"], &["*:write"]).is_everything());
        assert!(!Authority::default().is_everything());
    }
}
