//! A node's stream, as the registry knows it.

use latchkey_model::clock::SKEW_WARNED;
use latchkey_store::Epoch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::node_persister::NodeUpdate;
use super::{NodeId, Shared};
use crate::nodes::mailbox::Mailbox;

/// The minimum time between two warnings about the same node.
const SKEW_WARNED_EACH: Duration = Duration::from_secs(60);

/// The last warning about a node's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SkewWarning {
    millis: i64,
    at: Option<Instant>,
}

impl SkewWarning {
    /// Returns whether this skew must be logged, and if so records it. A node whose clock jumps
    /// repeatedly causes one line a minute.
    fn is_due(&mut self, millis: i64, now: Instant) -> bool {
        let due = millis.saturating_abs() > SKEW_WARNED
            && millis.abs_diff(self.millis) > SKEW_WARNED.unsigned_abs()
            && self
                .at
                .is_none_or(|at| now.saturating_duration_since(at) >= SKEW_WARNED_EACH);
        if due {
            *self = Self {
                millis,
                at: Some(now),
            };
        }

        due
    }
}

/// The open stream of a node. Dropping it ends the stream.
pub(crate) struct NodeConnection {
    pub(crate) id: NodeId,
    /// The number of this stream, unique among all streams.
    pub(crate) stream: u64,
    /// Resolves when a newer stream has replaced this one.
    pub(crate) replaced: oneshot::Receiver<()>,
    /// The messages about usage for the node.
    pub(crate) mailbox: Mailbox,
    pub(super) shared: Arc<Shared>,
}

impl NodeConnection {
    /// Requests that the node is stored, if it is not. Resolves after the attempt, even if it has
    /// failed.
    pub(crate) fn persist(&self) -> impl Future<Output = ()> + use<> {
        let attempted = (!self.is_persisted()).then(|| {
            let (sender, attempted) = oneshot::channel();
            // The persister ends at the stop.
            let _ = self.shared.updates.send(NodeUpdate {
                id: self.id.clone(),
                attempted: Some(sender),
            });
            attempted
        });
        async {
            if let Some(attempted) = attempted {
                let _ = attempted.await;
            }
        }
    }

    /// Returns whether the stored row matches the node's state.
    pub(crate) fn is_persisted(&self) -> bool {
        self.shared
            .lock()
            .get(&self.id)
            .is_some_and(|node| node.is_persisted(&self.id))
    }

    /// Notes that the node enforces `revision`, and no older one while this stream is open.
    pub(crate) fn acknowledge(&self, revision: u64) {
        self.shared.change(&self.id, self.stream, |node| {
            node.acknowledged = node.acknowledged.max(revision);
        });
    }

    /// Notes whether the node waits: `epoch` is its snapshot's epoch if that is not accepted.
    pub(crate) fn wait(&self, epoch: Option<Epoch>) {
        self.shared
            .change(&self.id, self.stream, |node| node.waiting = epoch);
    }

    /// Notes that the node's clock is ahead by `millis` milliseconds.
    pub(crate) fn observe_skew(&self, millis: i64) {
        let mut warned = false;
        self.shared.change(&self.id, self.stream, |node| {
            node.skew = Some(millis);
            warned = node.warned.is_due(millis, Instant::now());
        });

        if warned {
            let (node, handle) = (self.id.node_id.as_str(), self.id.handle());
            warn!(
                node,
                handle,
                clock_skew_ms = millis,
                "a node's clock differs: limits across Envoys are less accurate"
            );
        }
    }

    /// Removes the node after an orderly shutdown of the Envoy, which serves no further request.
    pub(crate) fn forget(&self) {
        if self.shared.remove(&self.id, self.stream).is_some() {
            info!(
                node = self.id.node_id,
                handle = self.id.handle(),
                "node has shut down"
            );
            self.shared.schedule_update(self.id.clone());
        }
    }
}

impl Drop for NodeConnection {
    fn drop(&mut self) {
        let (now, uptime) = (self.shared.clock.now(), self.shared.uptime());
        let lost = self.shared.change(&self.id, self.stream, |node| {
            node.open_stream = None;
            node.since = now;
            node.lost_at = uptime;
            node.grace_over = false;
        });

        if lost {
            self.shared
                .clone()
                .start_expiry(self.id.clone(), self.stream, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumping_clock_is_logged_each_minute() {
        let (mut warning, began) = (SkewWarning::default(), Instant::now());
        let mut warned = |skews: std::ops::Range<i64>, now| {
            skews
                .filter(|n| warning.is_due(if n % 2 == 0 { 90_000 } else { -90_000 }, now))
                .count()
        };

        assert_eq!(warned(0..100, began), 1);
        assert_eq!(warned(0..100, began + SKEW_WARNED_EACH / 2), 0);
        assert_eq!(warned(0..100, began + SKEW_WARNED_EACH), 1);
        assert!(
            !SkewWarning::default().is_due(-5_000, began),
            "it is not worth one"
        );
    }
}
