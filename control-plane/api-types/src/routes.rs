//! Route rules.

use latchkey_model::route_document::{self, AffectedRule, RouteDocument};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Enforcement;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangedRoutes {
    #[serde(flatten)]
    #[schema(schema_with = route_document::shown)]
    pub document: RouteDocument,
    /// Rules some of whose requests `path_case` refuses or assigns to an earlier rule, although
    /// they are spelled like the rule.
    pub affected_rules: Vec<AffectedRule>,
    pub enforcement: Enforcement,
}
