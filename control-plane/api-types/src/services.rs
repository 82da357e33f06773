//! Services.

use latchkey_model::json::given;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schemas;

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    #[schema(value_type = schemas::Word)]
    pub name: String,
    #[schema(value_type = Option<schemas::Description>)]
    pub description: Option<String>,
}

/// Fields to change; omitted fields stay the same.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceEdit {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<schemas::Description>)]
    pub description: Option<Option<String>>,
}

/// A service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Service {
    #[schema(value_type = schemas::Word)]
    pub name: String,
    #[schema(required, value_type = Option<schemas::Description>)]
    pub description: Option<String>,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceList {
    pub services: Vec<Service>,
    pub total: u64,
    /// True if there may be more than `total`, which is exact up to 10,000.
    pub total_is_estimate: bool,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeletedService {
    #[schema(value_type = schemas::Word)]
    pub name: String,
}
