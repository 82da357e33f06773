//! The nodes as the API shows them.

use crate::metrics::NodeTotals;
use latchkey_store::Epoch;
use std::net::SocketAddr;

use super::{NodeId, Registry, nodes::Node};
use crate::nodes::identity::hexadecimal;

/// The state of a node for this control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It has a stream and is served.
    Connected,
    /// Its snapshot's epoch is not accepted, so it is not served.
    Waiting,
    /// It has no stream, and may be serving.
    Lost,
}

/// A node as shown.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// The Envoy process.
    pub id: NodeId,
    /// Its state.
    pub state: NodeState,
    /// The instance number, only of version 0.1.
    pub instance: Option<String>,
    /// The version of its filter.
    pub version: String,
    /// The version of the stream protocol that it supports.
    pub protocol: u32,
    /// True if it has a stream.
    pub connected: bool,
    /// The time at which it connected or was lost, in Unix seconds.
    pub since: i64,
    /// The last revision that it has acknowledged.
    pub acknowledged: u64,
    /// The address that it connected from.
    pub remote: Option<SocketAddr>,
    /// Its staleness limit in seconds, if it has one and reports it.
    pub staleness: Option<u64>,
    /// The time in seconds for which it counts once it is lost; `None` until it returns or is
    /// forgotten.
    pub counts_for: Option<u64>,
    /// The lead of its clock, in milliseconds.
    pub clock_skew: Option<i64>,
    /// The epoch of its snapshot, if it waits for that epoch to be accepted.
    pub waiting_epoch: Option<Epoch>,
    /// The reason why its last connection attempt was refused.
    pub refused: Option<String>,
}

impl Registry {
    /// Returns every node that counts, in the order of their ids.
    pub fn nodes(&self) -> Vec<NodeView> {
        let view = |(id, node): (&NodeId, &Node)| NodeView {
            id: id.clone(),
            state: state(node),
            instance: node.facts.instance.map(hexadecimal),
            version: node.facts.version.clone(),
            protocol: node.facts.protocol,
            connected: node.open_stream.is_some(),
            since: node.since,
            acknowledged: node.acknowledged,
            remote: node.remote,
            staleness: (node.facts.staleness > 0).then_some(node.facts.staleness),
            counts_for: self
                .0
                .limits
                .counts_for(node.facts.protocol, node.facts.staleness)
                .map(|limit| limit.as_secs()),
            clock_skew: node.skew,
            waiting_epoch: node.waiting,
            refused: node.refused.clone(),
        };
        let mut nodes: Vec<_> = self.0.lock().iter().map(view).collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));

        nodes
    }

    /// Returns `Some` if unknown nodes may be serving, with the number of seconds until they can no
    /// longer serve, if that is limited.
    pub fn unknown(&self) -> Option<Option<u64>> {
        let until = self.0.lock().unknown_until?;
        let left = until.saturating_sub(self.0.uptime()).max(0).cast_unsigned();
        Some((until < latchkey_store::FOREVER).then_some(left))
    }

    /// Returns the numbers of nodes.
    pub fn totals(&self) -> NodeTotals {
        let nodes = self.0.lock();
        let mut totals = NodeTotals {
            unknown: nodes.unknown_until.is_some(),
            ..NodeTotals::default()
        };

        for (_, node) in nodes.iter() {
            match node.open_stream {
                Some(_) => totals.connected += 1,
                None => totals.lost += 1,
            }
            totals.waiting += usize::from(node.waiting.is_some());
            let skew = node
                .skew
                .filter(|_| node.open_stream.is_some())
                .unwrap_or_default();
            totals.clock_skew = totals.clock_skew.max(skew.unsigned_abs());
        }

        totals
    }
}

fn state(node: &Node) -> NodeState {
    match node {
        Node {
            waiting: Some(_), ..
        } => NodeState::Waiting,
        Node {
            open_stream: Some(_),
            ..
        } => NodeState::Connected,
        Node {
            open_stream: None, ..
        } => NodeState::Lost,
    }
}
