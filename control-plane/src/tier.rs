//! Tiers: names for limits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::DeclaredLimits;

/// `{"name": "free", "limits": {"minute": 10}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// What accounts and keys name it by.
    pub name: String,
    /// How much a key of this tier may be used.
    pub limits: DeclaredLimits,
}
