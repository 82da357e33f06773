//! Accounts.

use latchkey_model::json::{Object, given};
use latchkey_model::secret::Password;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Enforcement, schemas};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    #[schema(value_type = schemas::Name)]
    pub name: String,
    #[schema(value_type = schemas::Word)]
    pub tier: String,
    /// The maximum number of keys that are not revoked or expired; null for no limit. Default:
    /// 1,000.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    pub max_keys: Option<Option<u32>>,
    /// The first administrator, who holds every permission in the account.
    #[schema(value_type = NewAdministrator)]
    pub admin: Object<NewAdministrator>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdministrator {
    #[schema(value_type = schemas::Email)]
    pub email: String,
    pub password: Password,
}

/// Fields to change; omitted fields stay the same.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountEdit {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Name>)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Word>)]
    pub tier: Option<String>,
    /// Null for no limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    pub max_keys: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub disabled: Option<bool>,
}

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Account {
    #[schema(value_type = schemas::AccountId)]
    pub account_id: String,
    #[schema(value_type = schemas::Name)]
    pub name: String,
    #[schema(value_type = schemas::Word)]
    pub tier: String,
    /// Null for no limit.
    #[schema(required)]
    pub max_keys: Option<u32>,
    pub disabled: bool,
    /// True if this is the operator's own account.
    pub operator: bool,
    /// The number of keys that count towards `max_keys`: neither revoked nor expired.
    pub keys: i64,
    pub users: i64,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<schemas::Time>)]
    pub closed_at: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccountList {
    pub accounts: Vec<Account>,
    pub total: u64,
    /// True if there may be more than `total`, which is exact up to 10,000.
    pub total_is_estimate: bool,
    /// The cursor of the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedAccount {
    #[serde(flatten)]
    pub account: Account,
    pub admin: Administrator,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Administrator {
    #[schema(value_type = schemas::UserId)]
    pub user_id: String,
    #[schema(value_type = schemas::Email)]
    pub email: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EditedAccount {
    #[serde(flatten)]
    pub account: Account,
    pub enforcement: Enforcement,
}
