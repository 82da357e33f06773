//! The audit log.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::schemas;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// The entries, newest first.
    pub entries: Vec<AuditEntry>,
    /// The cursor of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// An audit entry: one change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub id: String,
    #[schema(value_type = schemas::Time)]
    pub at: String,
    pub actor: AuditParty,
    /// The action, such as `key.create`.
    pub action: String,
    pub target: AuditParty,
    /// The resource before the change; for an edit, only the fields that changed.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Box<RawValue>>,
    /// The resource after the change; for an edit, only the fields that changed.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Box<RawValue>>,
    pub source_address: Option<String>,
    pub request_id: Option<String>,
}

/// The actor or the target of a change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditParty {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Option<String>,
    pub name: Option<String>,
}
