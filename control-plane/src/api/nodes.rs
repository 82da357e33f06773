//! `/v1/nodes`: every Envoy that may be deciding requests, and how far each is.

use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::error::ApiError;
use super::extract::{Params, Session};
use super::openapi::texts;
use crate::clock::rfc3339;
use crate::stream::registry::{NodeView, hexadecimal};

#[derive(Serialize, ToSchema)]
#[schema(as = NodeList)]
pub(super) struct List {
    nodes: Vec<Node>,
    total: usize,
    /// The newest.
    revision: u64,
}

#[derive(Serialize, ToSchema)]
struct Node {
    node_id: String,
    instance: String,
    version: String,
    connected: bool,
    /// When it connected, or when it was lost.
    #[schema(value_type = texts::Time)]
    since: String,
    /// What it has acknowledged; 0 before it has a snapshot.
    revision: u64,
    /// Revisions behind.
    lag: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remote: Option<String>,
}

/// List the nodes
///
/// Every Envoy that may be deciding requests: those that are connected, and those that were lost just now.
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
    let nodes: Vec<_> = app.registry.nodes().into_iter().map(|node| view(node, revision)).collect();
    let total = nodes.len();
    Ok(Answer::ok("Nodes retrieved successfully", List { nodes, total, revision }))
}

fn view(node: NodeView, newest: u64) -> Node {
    Node {
        node_id: node.id.node_id,
        instance: hexadecimal(node.id.instance),
        version: node.version,
        connected: node.connected,
        since: rfc3339(node.since),
        revision: node.acknowledged,
        lag: newest.saturating_sub(node.acknowledged),
        remote: node.remote.map(|address| address.to_string()),
    }
}
