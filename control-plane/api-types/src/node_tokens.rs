//! Node tokens.

use latchkey_model::json::given;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Made, schemas};

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNodeToken {
    /// The token's name, which identifies it.
    #[schema(value_type = schemas::Word)]
    pub name: String,
    /// The values of Envoy's `node.id` that the token is valid for.
    #[schema(value_type = schemas::NodePattern)]
    pub node: String,
    /// The SHA-256 of an existing token. By default a token is generated and returned once.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = schemas::Sha256, nullable = false)]
    pub sha256: Option<String>,
}

/// A node token without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeToken {
    #[schema(value_type = schemas::Word)]
    pub name: String,
    #[schema(value_type = schemas::NodePattern)]
    pub node: String,
    #[schema(value_type = schemas::Time)]
    pub created_at: String,
    /// The last time a stream was opened with the token, to the minute.
    #[schema(value_type = Option<schemas::Time>, required)]
    pub last_used_at: Option<String>,
    #[schema(value_type = Option<schemas::Time>, required)]
    pub revoked_at: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeTokenList {
    pub node_tokens: Vec<NodeToken>,
    pub total: usize,
}

// Without Debug, so that no log shows the secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedNodeToken {
    #[serde(flatten)]
    #[schema(value_type = NodeToken)]
    pub details: Made<NodeToken>,
    /// The token itself, returned only once. Absent if the request has `sha256`, or if the call was
    /// repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::NodeTokenSecret, nullable = false)]
    pub node_token: Option<String>,
    /// True if this call repeats an earlier one with the same `Idempotency-Key`. Nothing was
    /// changed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replayed: Option<bool>,
}
