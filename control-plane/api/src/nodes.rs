//! `/v1/nodes`: every Envoy that may be serving, and its progress.

use axum::extract::State;
use latchkey_model::clock::rfc3339;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Params, Session};
use super::openapi::texts;
use latchkey_server::nodes::registry::{NodeState, NodeView, RefusedPeer};

#[derive(Serialize, ToSchema)]
#[schema(as = NodeList)]
pub(crate) struct List {
    nodes: Vec<Node>,
    total: usize,
    /// The newest revision.
    revision: u64,
    /// The epoch: the identity of the database's history, in hexadecimal.
    epoch: String,
    /// Present while nodes that the database does not know may be serving. They count as one lost
    /// node until they can no longer serve or the handle `unknown` is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unknown: Option<Unknown>,
    /// The last refused peers that are not nodes.
    refused_peers: Vec<Peer>,
}

/// Nodes that the database does not know.
#[derive(Serialize, ToSchema)]
#[schema(as = UnknownNodes)]
struct Unknown {
    /// The number of seconds after which none of them can still serve; absent if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_in_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RefusedPeer)]
struct Peer {
    /// The `node.id` that the peer reported.
    node_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remote: Option<String>,
    /// `format`: the peer cannot read the current record format. `token`: its token is wrong or
    /// missing. `nodes`: the maximum number of connected nodes is reached.
    reason: &'static str,
    /// The number of refusals.
    count: u64,
    /// The time of the last refusal.
    #[schema(value_type = texts::Time)]
    at: String,
}

#[derive(Serialize, ToSchema)]
struct Node {
    /// The handle of the Envoy process.
    handle: String,
    node_id: String,
    /// Only for nodes of version 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    instance: Option<String>,
    version: String,
    /// The version of the stream protocol that the node supports: 0 for version 0.1.
    protocol: u32,
    /// `connected`: the node has a stream. `waiting`: its snapshot comes from another database
    /// whose epoch is not accepted. `lost`: it has no stream, but may be serving.
    state: &'static str,
    connected: bool,
    /// The time at which it connected or was lost.
    #[schema(value_type = texts::Time)]
    since: String,
    /// The last acknowledged revision; 0 before the node has a snapshot.
    revision: u64,
    /// The number of revisions that the node is behind.
    lag: u64,
    /// The node's staleness limit; absent if it has none, or for version 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    staleness_seconds: Option<u64>,
    /// The time for which the node counts once it is lost; absent if it counts until it returns or
    /// is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    counts_for_seconds: Option<u64>,
    /// The lead of the node's clock over the control plane's; absent if the node does not report
    /// its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    clock_skew_ms: Option<i64>,
    /// For waiting nodes: the epoch of the node's snapshot, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    epoch: Option<String>,
    /// The reason why its last connection attempt was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remote: Option<String>,
}

/// List nodes
///
/// Lists every Envoy that may be serving: connected nodes, and lost nodes that can still serve.
#[utoipa::path(get, path = "/v1/nodes", operation_id = "listNodes", tag = "Gateway",
    security(("credential" = ["gateway:nodes:read"])),
    responses((status = 200, description = "The nodes, and the newest revision.", body = Answer<List>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<List>, ApiError> {
    caller.require("gateway:nodes:read")?;
    params.finish()?;
    let revision = app.store.revision();
    let nodes: Vec<_> = app
        .registry
        .nodes()
        .into_iter()
        .map(|node| view(node, revision))
        .collect();
    let list = List {
        total: nodes.len(),
        nodes,
        revision,
        epoch: hex::encode(app.store.epoch()),
        unknown: app
            .registry
            .unknown()
            .map(|expires_in_seconds| Unknown { expires_in_seconds }),
        refused_peers: app.registry.refused().into_iter().map(peer).collect(),
    };
    Ok(Answer::ok("Nodes retrieved successfully", list))
}

fn view(node: NodeView, newest: u64) -> Node {
    Node {
        handle: node.id.handle().to_owned(),
        node_id: node.id.node_id,
        instance: node.instance,
        version: node.version,
        protocol: node.protocol,
        state: match node.state {
            NodeState::Connected => "connected",
            NodeState::Waiting => "waiting",
            NodeState::Lost => "lost",
        },
        connected: node.connected,
        since: rfc3339(node.since),
        revision: node.acknowledged,
        lag: newest.saturating_sub(node.acknowledged),
        staleness_seconds: node.staleness,
        counts_for_seconds: node.counts_for,
        clock_skew_ms: node.clock_skew,
        epoch: node.waiting_epoch.map(hex::encode),
        refused: node.refused,
        remote: node.remote.map(|address| address.to_string()),
    }
}

fn peer(peer: RefusedPeer) -> Peer {
    Peer {
        node_id: peer.node_id,
        remote: peer.remote.map(|address| address.to_string()),
        reason: peer.refusal.as_str(),
        count: peer.count,
        at: rfc3339(peer.at),
    }
}
