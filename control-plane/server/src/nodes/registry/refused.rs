//! Refused peers. A peer that was served before may still be serving.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::Status;
use tracing::warn;

use super::nodes::Node;
use super::{NodeId, Registry, Shared};

/// The maximum number of refused peers that are kept for display.
const MAX_REMEMBERED: usize = 32;

/// The reason why a peer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It cannot read the current record format.
    Format,
    /// Its token is wrong or missing, or not valid for its node id.
    Token,
    /// The maximum number of connected nodes is reached.
    Nodes,
}

impl Refusal {
    /// Returns the word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Token => "token",
            Self::Nodes => "nodes",
        }
    }
}

/// A refused peer.
#[derive(Debug, Clone)]
pub struct RefusedPeer {
    /// The `node.id` that it reported.
    pub node_id: String,
    /// The address that it connected from.
    pub remote: Option<IpAddr>,
    /// The reason of the last refusal.
    pub refusal: Refusal,
    /// The number of refusals.
    pub count: u64,
    /// The time of the last refusal, in Unix seconds.
    pub at: i64,
}

/// The most recently refused peers.
#[derive(Default)]
pub(super) struct RefusedPeers(Mutex<Vec<RefusedPeer>>);

impl Registry {
    /// Records the refusal of a peer. If it is a node that this store has served, it may still be
    /// serving.
    pub(crate) fn refuse(
        &self,
        id: &NodeId,
        remote: Option<SocketAddr>,
        refusal: Refusal,
        status: &Status,
    ) {
        if refusal == Refusal::Format {
            self.0.metrics.nodes.format_refusals.inc();
        }
        if !self.0.clone().mark_refused(id, refusal, status.message()) {
            self.0.remember_refused(id, remote, refusal);
        }
    }

    /// Returns the refused peers, the newest last.
    pub fn refused(&self) -> Vec<RefusedPeer> {
        self.0
            .refused
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl RefusedPeers {
    fn remember(&self, mut peer: RefusedPeer) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |other: &RefusedPeer| {
            (&other.node_id, other.remote, other.refusal)
                == (&peer.node_id, peer.remote, peer.refusal)
        };

        if let Some(at) = peers.iter().position(same) {
            peer.count = peers.remove(at).count.saturating_add(1);
        } else if peers.len() >= MAX_REMEMBERED {
            peers.remove(0);
        }

        peers.push(peer);
    }
}

impl Shared {
    pub(super) fn remember_refused(
        &self,
        id: &NodeId,
        remote: Option<SocketAddr>,
        refusal: Refusal,
    ) {
        let (node_id, remote) = (id.node_id.clone(), remote.map(|remote| remote.ip()));
        self.refused.remember(RefusedPeer {
            node_id,
            remote,
            refusal,
            count: 1,
            at: self.clock.now(),
        });
    }

    /// Counts a refused node as lost, if it is known, now or from before, and has no other stream.
    /// A node of version 0.1 reports no limit, so its grace period begins again. Returns whether
    /// the node is known.
    fn mark_refused(self: Arc<Self>, id: &NodeId, refusal: Refusal, reason: &str) -> bool {
        let mut nodes = self.lock();

        if nodes.get(id).is_none()
            && let Some(facts) = nodes.former.take(id)
        {
            let node = Node::lost(nodes.new_stream(), facts, self.clock.now(), self.uptime());
            nodes.insert(id.clone(), node);
            self.schedule_update(id.clone());
        }

        let Some(node) = nodes.get(id) else {
            return false;
        };
        if node.open_stream.is_some() {
            return true;
        }

        let (first, stream) = (node.refused.is_none(), node.stream);
        let begins_again = node.facts.protocol == 0;
        let newest = if begins_again {
            nodes.new_stream()
        } else {
            stream
        };

        let uptime = self.uptime();
        nodes.change(id, stream, |node| {
            node.refused = Some(reason.to_owned());
            if begins_again {
                node.stream = newest;
                node.lost_at = uptime;
                node.grace_over = false;
            }
        });
        self.notify_waiters(&nodes);
        drop(nodes);

        if first {
            let (node, handle) = (id.node_id.as_str(), id.handle());
            warn!(
                node,
                handle,
                refused_for = refusal.as_str(),
                reason,
                "a node is refused and may still serve"
            );
        }

        if begins_again {
            self.start_expiry(id.clone(), newest, Duration::ZERO);
        }
        true
    }
}
