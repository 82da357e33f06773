//! Imports of existing API keys.

use latchkey_model::authority::Grant;
use latchkey_model::ip_list::IpList;
use latchkey_model::json::{Object, given};
use latchkey_model::limits::LimitsChange;
use latchkey_model::role::Role;
use latchkey_model::selection::Selection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Enforcement, Expiry, Key, Made, schemas};

/// Existing keys to import.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyImport {
    #[schema(value_type = Vec<ImportedKey>, min_items = 1, max_items = 1000)]
    pub keys: Vec<Object<ImportedKey>>,
    /// Report the result and all problems without importing anything.
    #[serde(default)]
    pub dry_run: bool,
    /// Skip rows whose `sha256` belongs to a key of the account that is not revoked.
    #[serde(default)]
    pub skip_existing: bool,
    /// Accept keys again that the account imported at most 7 days ago and revoked before any
    /// request was admitted with them.
    #[serde(default)]
    pub reimport_unused: bool,
}

/// The fields of a new key, and the digest in place of a secret.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedKey {
    /// The SHA-256 of the key as clients send it, in hexadecimal.
    #[schema(value_type = schemas::Sha256)]
    pub sha256: String,
    /// The masked form to show; `imported` by default.
    #[schema(value_type = Option<schemas::Mask>)]
    pub key_prefix: Option<String>,
    #[schema(value_type = schemas::Name)]
    pub name: String,
    #[schema(value_type = Option<schemas::Description>)]
    pub description: Option<String>,
    #[schema(value_type = Option<schemas::Environment>)]
    pub environment: Option<String>,
    #[schema(value_type = Option<schemas::Word>)]
    pub tier: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<schemas::Scope>)]
    pub scope: Option<Selection>,
    #[serde(default)]
    #[schema(max_items = 256)]
    pub roles: Vec<Role>,
    #[serde(default)]
    #[schema(max_items = 256)]
    pub permissions: Vec<Grant>,
    #[serde(default)]
    #[schema(value_type = Vec<schemas::SubaccountId>, max_items = 256)]
    pub allowed_subaccounts: Vec<String>,
    pub limits: Option<LimitsChange>,
    pub expires_at: Option<Expiry>,
    #[serde(default)]
    pub allowed_ips: IpList,
    #[serde(default)]
    pub denied_ips: IpList,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportedKeys {
    #[serde(flatten)]
    #[schema(value_type = ImportedRows)]
    pub rows: Made<ImportedRows>,
    /// True if this call repeats an earlier one with the same `Idempotency-Key`. Nothing was
    /// changed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replayed: Option<bool>,
    pub enforcement: Enforcement,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportedRows {
    /// The imported keys, in the order of the rows, without skipped ones.
    pub keys: Vec<Key>,
    pub imported: usize,
    /// The number of rows whose keys existed already.
    pub skipped: usize,
}

/// The result of a dry run, or the keys of the repeated call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ImportCheckOrKeys {
    Check(ImportCheck),
    Keys(ImportedKeys),
}

/// The result of a dry run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportCheck {
    /// Always true: nothing was imported.
    pub dry_run: bool,
    /// The number of rows that would be imported.
    pub importable: usize,
    /// The number of rows whose keys exist already.
    pub skipped: usize,
    /// The number of refused rows. With any of them, nothing is imported.
    pub refused: usize,
    /// The problems of the first 20 refused rows.
    #[schema(max_items = 20)]
    pub problems: Vec<ImportProblem>,
    /// The number of keys that the account can still create or import; null for no limit.
    #[schema(required)]
    pub room: Option<u64>,
}

/// A problem with a row.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportProblem {
    /// The index of the row in `keys`, from 0.
    pub row: usize,
    /// The error code that the import would return.
    #[schema(pattern = "^[a-z][a-z0-9_]*$", example = "name_taken")]
    pub code: String,
    /// The cause, as a sentence.
    pub error: String,
    /// The field that caused the error, if it is a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
}
