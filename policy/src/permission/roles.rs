//! Roles: names for sets of permission patterns. Only the predefined ones exist so far.

use super::Pattern;

/// Every role's name, and the patterns that it grants.
pub const ROLES: [(&str, &[&str]); 8] = [
    ("admin", &["*"]),
    ("read_only_admin", &["*:read"]),
    ("billing_manager", &["billing:*"]),
    ("cache_purger", &["cache:purge"]),
    ("dns_manager", &["dns:*"]),
    ("security_manager", &["security:*"]),
    ("traffic_manager", &["traffic:*"]),
    ("insights_analyst", &["analytics:read"]),
];

/// Returns the patterns that a role grants; `None` if there is no role of this name.
pub fn patterns(role: &str) -> Option<Vec<Pattern>> {
    let (_, patterns) = ROLES.iter().find(|(name, _)| *name == role)?;
    patterns
        .iter()
        .map(|pattern| Pattern::parse(pattern).ok())
        .collect()
}
