//! Predefined roles.

use latchkey_model::authority::Grant;
use latchkey_model::role::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RoleList {
    pub roles: Vec<RoleDefinition>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RoleDefinition {
    pub name: Role,
    #[schema(value_type = Vec<Grant>)]
    pub permissions: Vec<String>,
}
