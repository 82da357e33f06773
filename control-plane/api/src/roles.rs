//! `/v1/roles`: the predefined roles.

use latchkey_model::authority::Grant;
use latchkey_model::role::Role;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Params, Session};

#[derive(Serialize, ToSchema)]
#[schema(as = RoleList)]
pub(crate) struct List {
    roles: Vec<RoleView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RoleDefinition)]
struct RoleView {
    name: Role,
    #[schema(value_type = Vec<Grant>)]
    permissions: Vec<String>,
}

/// List predefined roles
///
/// Available to every caller, because role names are needed to create keys and to understand
/// permissions.
#[utoipa::path(get, path = "/v1/roles", operation_id = "listRoles", tag = "Users",
    security(("credential" = [])),
    responses((status = 200, description = "All roles, with the permission patterns of each.", body = Answer<List>)))]
pub(crate) async fn list(_: Session, params: Params) -> Result<Answer<List>, ApiError> {
    params.finish()?;
    let roles = Role::all().map(|name| {
        let permissions = name.patterns().iter().map(ToString::to_string).collect();
        RoleView { name, permissions }
    });
    Ok(Answer::ok(
        "Roles retrieved successfully",
        List {
            roles: roles.collect(),
        },
    ))
}
