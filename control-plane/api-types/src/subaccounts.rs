//! Subaccounts.

use latchkey_model::json::given;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Enforcement, schemas};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubaccount {
    #[schema(value_type = schemas::Name)]
    pub name: String,
}

/// A subaccount.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Subaccount {
    #[schema(value_type = schemas::SubaccountId)]
    pub subaccount_id: String,
    #[schema(value_type = schemas::Name)]
    pub name: String,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
}

/// Fields to change; omitted fields stay the same.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubaccountEdit {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Name>)]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SubaccountList {
    pub subaccounts: Vec<Subaccount>,
    pub total: u64,
    /// True if there may be more than `total`, which is exact up to 10,000.
    pub total_is_estimate: bool,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedSubaccount {
    #[serde(flatten)]
    pub subaccount: Subaccount,
    pub enforcement: Enforcement,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeletedSubaccount {
    #[schema(value_type = schemas::SubaccountId)]
    pub subaccount_id: String,
    pub enforcement: Enforcement,
}
