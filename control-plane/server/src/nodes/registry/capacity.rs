//! The maximum number of nodes. At the maximum, lost nodes make room for others, and count among
//! the unknown nodes from then on.
//!
//! An Envoy that crashes repeatedly leaves a lost node each time. These do not keep other Envoys
//! out. Revocations are still reported correctly: unknown nodes count for as long as the last of
//! them would have counted.

use latchkey_store::FOREVER;
use std::net::SocketAddr;
use tonic::Status;
use tracing::warn;

use super::lost::seconds;
use super::nodes::Nodes;
use super::{NodeId, Refusal, Registry, Shared};

impl Registry {
    /// Returns the number of nodes that have become unknown ones.
    pub fn merged(&self) -> u64 {
        self.0.lock().merged.0
    }

    /// Forgets the unknown nodes, unless more nodes have become unknown since there were `merged`.
    pub fn forget_unknown(&self, merged: u64) {
        let mut nodes = self.0.lock();
        if nodes.merged.0 == merged {
            nodes.unknown_until = None;
        } else if let Some(last) = nodes.merged.1.clone() {
            // The stored record of unknown nodes has to be written again.
            self.0.schedule_update(last);
        }
    }
}

impl Nodes {
    /// Forgets the unknown nodes if they can no longer serve. Returns the uptime until which they
    /// count, if any.
    pub(super) fn expire_unknown(&mut self, uptime: i64) -> Option<i64> {
        self.unknown_until = self.unknown_until.filter(|until| *until > uptime);
        self.unknown_until
    }
}

impl Shared {
    /// Makes room for one more node: those that were lost first become unknown ones. Returns
    /// whether there is room.
    pub(super) fn make_room(&self, nodes: &mut Nodes) -> bool {
        while nodes.len() >= self.limits.max_nodes {
            let lost = nodes.iter().filter(|(_, node)| node.open_stream.is_none());
            let Some(id) = lost
                .min_by_key(|(_, node)| node.lost_at)
                .map(|(id, _)| id.clone())
            else {
                return false;
            };
            let Some(node) = nodes.remove(&id) else {
                return false;
            };

            let limit = self
                .limits
                .counts_for(node.facts.protocol, node.facts.staleness);
            let until = limit.map_or(FOREVER, |limit| node.lost_at.saturating_add(seconds(limit)));
            nodes.unknown_until = nodes.unknown_until.max(Some(until));
            nodes.merged = (nodes.merged.0.saturating_add(1), Some(id.clone()));
            if node.facts.protocol == 0 {
                nodes.former.remember(id.clone(), node.facts);
            }

            self.metrics.nodes.merged.inc();
            if self.capacity_log.permits() {
                warn!(
                    node = id.node_id,
                    handle = id.handle(),
                    nodes = self.limits.max_nodes,
                    "too many nodes (--max-nodes): the one that was lost first now counts as \
                     unknown"
                );
            }

            // Its row is deleted in the transaction that records the unknown nodes.
            self.schedule_update(id);
        }
        true
    }

    /// Records that a node was refused because too many nodes are connected. Returns the final
    /// status of its stream.
    pub(super) fn refuse_for_room(&self, id: &NodeId, remote: Option<SocketAddr>) -> Status {
        let nodes = self.limits.max_nodes;
        self.metrics.nodes.limit_refusals.inc();
        self.remember_refused(id, remote, Refusal::Nodes);
        if self.capacity_log.permits() {
            warn!(
                node = id.node_id,
                nodes, "node refused: too many nodes are connected (--max-nodes)"
            );
        }
        Status::resource_exhausted(format!("{nodes} nodes are already connected (--max-nodes)"))
    }
}
