//! `/v1/roles`: the predefined roles.

use latchkey_api_types as types;
use latchkey_model::role::Role;

use super::error::ApiError;
use super::extract::{Params, Session};
use super::response::Answer;

/// List predefined roles
///
/// Available to every caller, because role names are needed to create keys and to understand
/// permissions.
#[utoipa::path(get, path = "/v1/roles", operation_id = "listRoles", tag = "Users",
    security(("credential" = [])),
    responses((status = 200, description = "All roles, with the permission patterns of each.", body = Answer<types::RoleList>)))]
pub(crate) async fn list(_: Session, params: Params) -> Result<Answer<types::RoleList>, ApiError> {
    params.finish()?;
    let roles = Role::all().map(|name| {
        let permissions = name.patterns().iter().map(ToString::to_string).collect();
        types::RoleDefinition { name, permissions }
    });
    Ok(Answer::ok(
        "Roles retrieved successfully",
        types::RoleList {
            roles: roles.collect(),
        },
    ))
}
