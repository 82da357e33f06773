//! Tiers: named limits.

use latchkey_policy::limit::Limits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::ceilings::Ceilings;
use crate::limits::DeclaredLimits;

/// `{"name": "free", "limits": {"minute": 10}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The name that accounts and keys refer to.
    pub name: String,
    /// The limits of a key of this tier.
    pub limits: DeclaredLimits,
}

/// All tiers, in the operator's order: a later one is higher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tiers {
    current: Vec<Tier>,
    /// Removed ones that still bound keys, which have no place in the order.
    retired: BTreeMap<String, DeclaredLimits>,
}

impl Tiers {
    /// Those that keys can have, and those that only bound keys.
    pub fn new(current: Vec<Tier>, retired: BTreeMap<String, DeclaredLimits>) -> Self {
        Self { current, retired }
    }

    /// Those that keys can have.
    pub fn current(&self) -> &[Tier] {
        &self.current
    }

    /// The place of a tier in the order.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.current.iter().position(|tier| tier.name == name)
    }

    /// The limits of a tier; none if there is no such tier.
    pub fn limits(&self, name: &str) -> Limits {
        let current = self
            .current
            .iter()
            .find(|tier| tier.name == name)
            .map(|tier| &tier.limits);
        current
            .or_else(|| self.retired.get(name))
            .map(|limits| limits.0)
            .unwrap_or_default()
    }

    /// The limits of a key of `tier` that declares some, bounded by its ceilings but not by its
    /// account.
    pub fn of_key(&self, tier: &str, declared: DeclaredLimits, ceilings: &Ceilings) -> Limits {
        ceilings.bound(declared.over(self.limits(tier)), |name| self.limits(name))
    }
}
