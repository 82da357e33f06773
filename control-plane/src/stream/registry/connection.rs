//! A node's stream, as the registry sees it.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{NodeId, Shared};
use crate::store::Epoch;
use crate::stream::roster::Arrival;
use crate::usage::Mailbox;

/// From so many milliseconds on a node's clock is worth a warning, and each further change of as many.
pub(crate) const SKEW_WARNED: i64 = 5_000;

/// A node's stream, as long as it lives.
pub(crate) struct Connection {
    pub(crate) id: NodeId,
    /// Which of all streams this is.
    pub(crate) stream: u64,
    /// Resolves when a newer stream has taken this one's place.
    pub(crate) replaced: oneshot::Receiver<()>,
    /// What the node is to be told about usage.
    pub(crate) mailbox: Mailbox,
    pub(super) shared: Arc<Shared>,
}

impl Connection {
    /// Has the node written down if it is not. Resolves when that was done, or could not be done for now.
    pub(crate) fn write_down(&self) -> impl Future<Output = ()> + use<> {
        let tried = (!self.is_written()).then(|| {
            let (sender, tried) = oneshot::channel();
            // Nobody follows any more once it stops.
            let _ = self.shared.roster.send(Arrival { id: self.id.clone(), tried: Some(sender) });
            tried
        });
        async {
            if let Some(tried) = tried {
                let _ = tried.await;
            }
        }
    }

    /// Whether the table has the node as it is.
    pub(crate) fn is_written(&self) -> bool {
        self.shared.lock().get(&self.id).is_some_and(|node| node.is_written(&self.id))
    }

    /// The node decides by `revision`, and never again by an older one while this stream lives.
    pub(crate) fn acknowledge(&self, revision: u64) {
        self.shared.change(&self.id, self.stream, |node| node.acknowledged = node.acknowledged.max(revision));
    }

    /// The node's snapshot is of an epoch that nobody has accepted, or no longer.
    pub(crate) fn wait(&self, epoch: Option<Epoch>) {
        self.shared.change(&self.id, self.stream, |node| node.waiting = epoch);
    }

    /// The node's clock is ahead by so many milliseconds.
    pub(crate) fn observe_skew(&self, millis: i64) {
        let mut warned = false;
        self.shared.change(&self.id, self.stream, |node| {
            node.skew = Some(millis);
            warned = millis.abs() > SKEW_WARNED && millis.abs_diff(node.warned) > SKEW_WARNED.unsigned_abs();
            if warned {
                node.warned = millis;
            }
        });
        if warned {
            let (node, handle) = (self.id.node_id.as_str(), self.id.handle());
            warn!(node, handle, clock_skew_ms = millis, "a node's clock differs: limits over several Envoys suffer");
        }
    }

    /// The Envoy has shut down in order: it serves no further request.
    pub(crate) fn forget(&self) {
        if self.shared.remove(&self.id, self.stream).is_some() {
            info!(node = self.id.node_id, handle = self.id.handle(), "node has shut down");
            self.shared.follow(self.id.clone());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (now, uptime) = (self.shared.clock.now(), self.shared.uptime());
        let lost = self.shared.change(&self.id, self.stream, |node| {
            node.line = None;
            node.since = now;
            node.lost_at = uptime;
            node.grace_over = false;
        });
        if lost {
            self.shared.clone().lose(self.id.clone(), self.stream, Duration::ZERO);
        }
    }
}
