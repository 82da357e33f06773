//! Sessions and callers.

use latchkey_model::role::Role;
use latchkey_model::secret::Password;
use latchkey_model::selection::Selection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

use crate::schemas;

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub email: String,
    #[schema(value_type = String, format = Password)]
    pub password: Password,
}

// Without Debug, so that no log shows the secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    #[schema(value_type = schemas::SessionToken)]
    pub token: String,
    /// The session's end, which each use postpones.
    #[schema(value_type = schemas::Time)]
    pub expires_at: String,
    pub user: SessionUser,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionUser {
    #[schema(value_type = schemas::UserId)]
    pub id: String,
    #[schema(value_type = schemas::Email)]
    pub email: String,
}

/// The caller.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Myself {
    #[schema(value_type = schemas::AccountId)]
    pub account_id: String,
    /// True if this is the operator's account.
    pub operator: bool,
    #[schema(value_type = schemas::Word)]
    pub tier: String,
    /// The calling user, or the owner of the calling key.
    #[schema(value_type = schemas::UserId)]
    pub user_id: String,
    /// The email address of a calling user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::Email, nullable = false)]
    pub email: Option<String>,
    /// The id of a calling API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::KeyId, nullable = false)]
    pub key_id: Option<String>,
    /// The patterns of the permissions that the caller holds.
    pub permissions: Vec<String>,
    #[schema(value_type = schemas::Subaccounts)]
    pub subaccounts: Selection,
}

/// The roles, permissions, subaccounts and scope that a caller can grant to keys and users.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Grantable {
    /// The permissions required by API calls and route rules that the caller holds.
    pub permissions: BTreeSet<String>,
    /// The patterns of all permissions that the caller holds.
    pub patterns: Vec<String>,
    pub roles: Vec<Role>,
    /// `"all"`, or the ids of the subaccounts that the caller may act on.
    #[schema(value_type = schemas::Subaccounts)]
    pub subaccounts: Selection,
    /// `"all"`, or the services in the calling key's scope.
    #[schema(value_type = schemas::Scope)]
    pub scope: Selection,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    #[schema(value_type = String, format = Password)]
    pub current_password: Password,
    #[schema(value_type = String, format = Password, min_length = 12)]
    pub new_password: Password,
}
