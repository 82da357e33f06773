//! `/v1/roles`: the predefined roles.

use serde::Serialize;

use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Params, Session};
use crate::role::Role;

#[derive(Serialize)]
pub(super) struct List {
    roles: Vec<RoleView>,
}

#[derive(Serialize)]
struct RoleView {
    name: Role,
    permissions: Vec<String>,
}

/// For everyone who is logged in: names are needed to make sense of what one holds.
pub(super) async fn list(_: Session, params: Params) -> Result<Answer<List>, ApiError> {
    params.finish()?;
    let roles = Role::all().map(|name| {
        let permissions = name.patterns().iter().map(ToString::to_string).collect();
        RoleView { name, permissions }
    });
    Ok(Answer::ok("Roles retrieved successfully", List { roles: roles.collect() }))
}
