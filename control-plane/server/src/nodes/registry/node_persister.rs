//! Stores the nodes: their rows follow the state in memory. Each second in which all nodes are
//! stored, the store records that this control plane is running.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant, MissedTickBehavior};
use tracing::error;

use super::Shared;
use crate::nodes::identity::NodeId;

/// The interval between two records, and the pause after a failed write.
const PERIOD: Duration = Duration::from_secs(1);

/// A node that arrived less than this long ago is not served before it is stored.
const SERVED_AFTER: Duration = Duration::from_secs(5);

/// The maximum number of nodes in one transaction, which keeps other writers waiting.
const MAX_BATCH: usize = 1_000;

/// A changed node, and a channel to notify after the attempt to store it.
pub(super) struct NodeUpdate {
    pub(super) id: NodeId,
    pub(super) attempted: Option<oneshot::Sender<()>>,
}

/// The task that stores changed nodes.
pub(super) struct NodePersister {
    shared: Arc<Shared>,
    updates: mpsc::UnboundedReceiver<NodeUpdate>,
    /// The received updates that have not been handled yet.
    received: Vec<NodeUpdate>,
    /// The nodes whose stored row may be outdated.
    outdated: HashSet<NodeId>,
}

impl NodePersister {
    pub(super) fn new(shared: Arc<Shared>, updates: mpsc::UnboundedReceiver<NodeUpdate>) -> Self {
        Self {
            shared,
            updates,
            received: Vec::new(),
            outdated: HashSet::new(),
        }
    }

    /// Stores all updates that have arrived, one transaction after the other, until the stop.
    /// Failed writes are repeated.
    pub(super) async fn run(mut self) {
        let mut stop = self.shared.stop.clone();
        let mut second = time::interval(PERIOD);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            tokio::select! {
                biased;
                () = stop.requested() => return self.record_running().await,
                // Ahead of updates, which may never pause.
                _ = second.tick() => self.record_running().await,
                _ = self.updates.recv_many(&mut self.received, MAX_BATCH) => self.persist().await,
            }
        }
    }

    /// Stores the nodes of the received updates, and those of earlier failed writes.
    async fn persist(&mut self) {
        let mut waiting = Vec::with_capacity(self.received.len());
        for NodeUpdate { id, attempted } in self.received.drain(..) {
            self.outdated.insert(id);
            waiting.extend(attempted);
        }

        if !self.outdated.is_empty() {
            match self.shared.persist(self.outdated.iter()).await {
                Ok(()) => self.outdated.clear(),
                Err(error) => {
                    let nodes = self.outdated.len();
                    error!(%error, nodes, "cannot record nodes; they are served later");
                }
            }
        }

        for attempted in waiting {
            // The receiver may be gone.
            let _ = attempted.send(());
        }
    }

    /// Stores all earlier updates. If every served node is then stored, records that this control
    /// plane is running. Within [`SERVED_AFTER`] of its arrival, no node is served unstored.
    async fn record_running(&mut self) {
        let began = Instant::now();
        let mut left = self.updates.len();
        loop {
            while self.received.len() < MAX_BATCH.min(left) {
                match self.updates.try_recv() {
                    Ok(update) => self.received.push(update),
                    Err(_) => left = 0,
                }
            }
            left = left.saturating_sub(self.received.len());
            self.persist().await;
            if left == 0 {
                break;
            }
        }

        if self.outdated.is_empty()
            && began.elapsed() < SERVED_AFTER
            && let Err(error) = self.shared.record_running().await
        {
            error!(%error, "cannot record that this control plane is running; the next start will \
            not know all nodes");
        }
    }
}
