//! Users.

use latchkey_model::authority::Grant;
use latchkey_model::json::given;
use latchkey_model::role::Role;
use latchkey_model::secret::Password;
use latchkey_model::selection::Selection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Enforcement, schemas};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    #[schema(value_type = schemas::Email)]
    pub email: String,
    pub password: Password,
    #[serde(default)]
    #[schema(max_items = 256)]
    pub roles: Vec<Role>,
    #[serde(default)]
    #[schema(max_items = 256)]
    pub permissions: Vec<Grant>,
    /// Default: the subaccounts that the creator may act on.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Subaccounts>)]
    pub subaccounts: Option<Selection>,
}

/// Fields to change; omitted fields stay the same.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserEdit {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Email>)]
    pub email: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub password: Option<Password>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_items = 256)]
    pub roles: Option<Vec<Role>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_items = 256)]
    pub permissions: Option<Vec<Grant>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Subaccounts>)]
    pub subaccounts: Option<Selection>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub disabled: Option<bool>,
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    #[schema(value_type = schemas::UserId)]
    pub user_id: String,
    #[schema(value_type = schemas::Email)]
    pub email: String,
    pub roles: Vec<Role>,
    pub permissions: Vec<Grant>,
    #[schema(value_type = schemas::Subaccounts)]
    pub subaccounts: Selection,
    pub disabled: bool,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserList {
    pub users: Vec<User>,
    pub total: u64,
    /// True if there may be more than `total`, which is exact up to 10,000.
    pub total_is_estimate: bool,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EditedUser {
    #[serde(flatten)]
    pub user: User,
    pub enforcement: Enforcement,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeletedUser {
    #[schema(value_type = schemas::UserId)]
    pub user_id: String,
    /// The number of revoked keys.
    pub revoked_keys: u64,
    pub enforcement: Enforcement,
}
