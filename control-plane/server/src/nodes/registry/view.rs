//! The nodes as people see them.

use crate::metrics::NodeTotals;
use latchkey_store::Epoch;
use std::net::SocketAddr;

use super::{NodeId, Registry, nodes::Node};
use crate::nodes::identity::hexadecimal;

/// How a node stands to this control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// It has a stream, and is served.
    Connected,
    /// Its snapshot is of an epoch that nobody has accepted: it is not served.
    Waiting,
    /// It has no stream, and may be serving.
    Lost,
}

/// One node.
#[derive(Debug, Clone)]
pub(crate) struct NodeView {
    pub(crate) id: NodeId,
    pub(crate) state: NodeState,
    /// Of version 0.1 alone.
    pub(crate) instance: Option<String>,
    pub(crate) version: String,
    pub(crate) protocol: u32,
    pub(crate) connected: bool,
    /// Unix seconds: when it connected, or when it was lost.
    pub(crate) since: i64,
    pub(crate) acknowledged: u64,
    pub(crate) remote: Option<SocketAddr>,
    /// In seconds, if it has a limit and says so.
    pub(crate) staleness: Option<u64>,
    /// For how many seconds it counts once it is lost; none is until it is back or forgotten.
    pub(crate) counts_for: Option<u64>,
    /// In milliseconds.
    pub(crate) clock_skew: Option<i64>,
    pub(crate) waiting_epoch: Option<Epoch>,
    pub(crate) refused: Option<String>,
}

impl Registry {
    /// Every node that counts, in the order of their ids.
    pub(crate) fn nodes(&self) -> Vec<NodeView> {
        let view = |(id, node): (&NodeId, &Node)| NodeView {
            id: id.clone(),
            state: state(node),
            instance: node.facts.instance.map(hexadecimal),
            version: node.facts.version.clone(),
            protocol: node.facts.protocol,
            connected: node.line.is_some(),
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

    /// Whether nodes that nobody knows of may be serving, and for how many more seconds if that has
    /// an end.
    pub(crate) fn unknown(&self) -> Option<Option<u64>> {
        let until = self.0.lock().unknown_until?;
        let left = until.saturating_sub(self.0.uptime()).max(0).cast_unsigned();
        Some((until < latchkey_store::FOREVER).then_some(left))
    }

    /// How many nodes there are.
    pub(crate) fn totals(&self) -> NodeTotals {
        let nodes = self.0.lock();
        let mut totals = NodeTotals {
            unknown: nodes.unknown_until.is_some(),
            ..NodeTotals::default()
        };
        for (_, node) in nodes.iter() {
            match node.line {
                Some(_) => totals.connected += 1,
                None => totals.lost += 1,
            }
            totals.waiting += usize::from(node.waiting.is_some());
            let skew = node
                .skew
                .filter(|_| node.line.is_some())
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
        Node { line: Some(_), .. } => NodeState::Connected,
        Node { line: None, .. } => NodeState::Lost,
    }
}
