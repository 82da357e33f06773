//! Tiers.

use latchkey_model::json::Object;
use latchkey_model::limits::LimitsChange;
use latchkey_model::schema::object;
use latchkey_model::tier::Tier;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Enforcement;
use crate::named::named_schemas;
use crate::schemas::Word;

named_schemas! {
    /// A tier to store.
    NewTier = object()
        .property("name", Word::schema()).required("name")
        .property("limits", LimitsChange::schema()).required("limits");
}

/// All tiers, in order.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTiers {
    #[schema(value_type = Vec<NewTier>, max_items = 256)]
    pub tiers: Vec<Object<Tier>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tiers {
    pub tiers: Vec<Tier>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangedTiers {
    pub tiers: Vec<Tier>,
    pub enforcement: Enforcement,
}
