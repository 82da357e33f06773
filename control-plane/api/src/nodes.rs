//! `/v1/nodes`: every Envoy that may be serving, and its progress.

pub(crate) mod manage;

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::clock::rfc3339;
use latchkey_server::nodes::registry::{NodeState, NodeView, RefusedPeer};
use std::sync::Arc;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Params, Session};
use super::response::Answer;

/// List nodes
///
/// Lists every Envoy that may be serving: connected nodes, and lost nodes that can still serve.
#[utoipa::path(get, path = "/v1/nodes", operation_id = "listNodes", tag = "Gateway",
    security(("credential" = ["gateway:nodes:read"])),
    responses((status = 200, description = "The nodes, and the newest revision.", body = Answer<types::NodeList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<types::NodeList>, ApiError> {
    caller.require("gateway:nodes:read")?;
    params.finish()?;

    let revision = app.store.revision();
    let nodes: Vec<_> = app
        .registry
        .nodes()
        .into_iter()
        .map(|node| view(node, revision))
        .collect();
    let list = types::NodeList {
        total: nodes.len(),
        nodes,
        revision,
        epoch: hex::encode(app.store.epoch()),
        unknown: app
            .registry
            .unknown()
            .map(|expires_in_seconds| types::UnknownNodes { expires_in_seconds }),
        refused_peers: app.registry.refused().into_iter().map(peer).collect(),
    };
    Ok(Answer::ok("Nodes retrieved successfully", list))
}

fn view(node: NodeView, newest: u64) -> types::Node {
    types::Node {
        handle: node.id.handle().to_owned(),
        node_id: node.id.node_id,
        instance: node.instance,
        version: node.version,
        protocol: node.protocol,
        state: match node.state {
            NodeState::Connected => "connected",
            NodeState::Waiting => "waiting",
            NodeState::Lost => "lost",
        }
        .to_owned(),
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

fn peer(peer: RefusedPeer) -> types::RefusedPeer {
    types::RefusedPeer {
        node_id: peer.node_id,
        remote: peer.remote.map(|address| address.to_string()),
        reason: peer.refusal.as_str().to_owned(),
        count: peer.count,
        at: rfc3339(peer.at),
    }
}
