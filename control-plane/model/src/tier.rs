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
    /// The removed tiers that still bound keys. They have no position in the order.
    retired: BTreeMap<String, DeclaredLimits>,
}

impl Tiers {
    /// Creates the tiers from those that keys can have and those that only bound keys.
    pub fn new(current: Vec<Tier>, retired: BTreeMap<String, DeclaredLimits>) -> Self {
        Self { current, retired }
    }

    /// Returns the tiers that keys can have.
    pub fn current(&self) -> &[Tier] {
        &self.current
    }

    /// Returns the position of a tier in the order.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.current.iter().position(|tier| tier.name == name)
    }

    /// Returns the limits of a tier, or no limits if the tier does not exist.
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

    /// Returns the limits of a key with `tier` and its declared limits, bounded by its ceilings but
    /// not by its account.
    pub fn of_key(&self, tier: &str, declared: DeclaredLimits, ceilings: &Ceilings) -> Limits {
        ceilings.bound(declared.over(self.limits(tier)), |name| self.limits(name))
    }
}
