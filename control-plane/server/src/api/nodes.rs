//! `/v1/nodes`: every Envoy that may be deciding requests, and how far each is.

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
use crate::stream::registry::{NodeState, NodeView, RefusedPeer};

#[derive(Serialize, ToSchema)]
#[schema(as = NodeList)]
pub(super) struct List {
    nodes: Vec<Node>,
    total: usize,
    /// The newest revision.
    revision: u64,
    /// The identity of the database's history, in hexadecimal.
    epoch: String,
    /// Present while nodes that the database does not know may be serving. They count as one lost
    /// node, until they can no longer serve or `unknown` is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unknown: Option<Unknown>,
    /// The last peers that were refused and are no nodes.
    refused_peers: Vec<Peer>,
}

/// Nodes that the database does not know.
#[derive(Serialize, ToSchema)]
#[schema(as = UnknownNodes)]
struct Unknown {
    /// After so many seconds none of them can serve any more; absent if that has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_in_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RefusedPeer)]
struct Peer {
    /// As the peer says.
    node_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remote: Option<String>,
    /// `format`: it does not read the records that are written. `token`: its token is wrong or
    /// missing. `nodes`: as many nodes are connected as there may be.
    reason: &'static str,
    /// How often it was refused.
    count: u64,
    /// When it was refused last.
    #[schema(value_type = texts::Time)]
    at: String,
}

#[derive(Serialize, ToSchema)]
struct Node {
    /// Names the Envoy process.
    handle: String,
    node_id: String,
    /// Of version 0.1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    instance: Option<String>,
    version: String,
    /// The messages of the stream that it knows: 0 in version 0.1.
    protocol: u32,
    /// `connected`: it has a stream. `waiting`: its snapshot is of another database, whose epoch is
    /// not accepted. `lost`: it has no stream, and may be serving.
    state: &'static str,
    connected: bool,
    /// When it connected, or when it was lost.
    #[schema(value_type = texts::Time)]
    since: String,
    /// What it has acknowledged; 0 before it has a snapshot.
    revision: u64,
    /// Revisions behind.
    lag: u64,
    /// Absent if it has no limit, or is of version 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    staleness_seconds: Option<u64>,
    /// For how long it counts once it is lost; absent if until it is back or forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    counts_for_seconds: Option<u64>,
    /// By how much its clock is ahead of the control plane's; absent if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    clock_skew_ms: Option<i64>,
    /// While it waits: its snapshot's epoch, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    epoch: Option<String>,
    /// Why it was refused when it tried to connect again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remote: Option<String>,
}

/// List the nodes
///
/// Every Envoy that may be deciding requests: those that are connected, and those that are lost and
/// can still serve.
#[utoipa::path(get, path = "/v1/nodes", operation_id = "listNodes", tag = "Gateway",
    security(("credential" = ["gateway:nodes:read"])),
    responses((status = 200, description = "The nodes, and the newest revision.", body = Answer<List>)))]
pub(super) async fn list(
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
