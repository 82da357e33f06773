//! Nodes, and what an operator does with them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schemas;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeList {
    pub nodes: Vec<Node>,
    pub total: usize,
    /// The newest revision.
    pub revision: u64,
    /// The epoch: the identity of the database's history, in hexadecimal.
    pub epoch: String,
    /// Present while nodes that the database does not know may be serving. They count as one lost
    /// node until they can no longer serve or the handle `unknown` is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unknown: Option<UnknownNodes>,
    /// The last refused peers that are not nodes.
    pub refused_peers: Vec<RefusedPeer>,
}

/// Nodes that the database does not know.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UnknownNodes {
    /// The number of seconds after which none of them can still serve; absent if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires_in_seconds: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RefusedPeer {
    /// The `node.id` that the peer reported.
    pub node_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub remote: Option<String>,
    /// `format`: the peer cannot read the current record format. `token`: its token is wrong or
    /// missing. `nodes`: the maximum number of connected nodes is reached.
    pub reason: String,
    /// The number of refusals.
    pub count: u64,
    /// The time of the last refusal.
    #[schema(value_type = schemas::Time)]
    pub at: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// The handle of the Envoy process.
    pub handle: String,
    pub node_id: String,
    /// Only for nodes of version 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    pub version: String,
    /// The version of the stream protocol that the node supports: 0 for version 0.1.
    pub protocol: u32,
    /// `connected`: the node has a stream. `waiting`: its snapshot comes from another database
    /// whose epoch is not accepted. `lost`: it has no stream, but may be serving.
    pub state: String,
    pub connected: bool,
    /// The time at which it connected or was lost.
    #[schema(value_type = schemas::Time)]
    pub since: String,
    /// The last acknowledged revision; 0 before the node has a snapshot.
    pub revision: u64,
    /// The number of revisions that the node is behind.
    pub lag: u64,
    /// The node's staleness limit; absent if it has none, or for version 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub staleness_seconds: Option<u64>,
    /// The time for which the node counts once it is lost; absent if it counts until it returns or
    /// is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub counts_for_seconds: Option<u64>,
    /// The lead of the node's clock over the control plane's; absent if the node does not report
    /// its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub clock_skew_ms: Option<i64>,
    /// For waiting nodes: the epoch of the node's snapshot, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub epoch: Option<String>,
    /// The reason why its last connection attempt was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub remote: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ForgottenNodes {
    /// The handles of the forgotten nodes.
    pub forgotten: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LostNodes {
    /// Forget all nodes that were lost before this time.
    #[schema(value_type = schemas::Time)]
    pub lost_before: String,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EpochToAccept {
    /// The epoch to accept, in hexadecimal. Default: the epochs of all waiting nodes.
    #[serde(default)]
    #[schema(value_type = Option<schemas::EpochId>)]
    pub epoch: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AcceptedEpochs {
    /// The accepted epochs, in hexadecimal.
    #[schema(value_type = Vec<schemas::EpochId>)]
    pub epochs: Vec<String>,
}
