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
const AT_ONCE: usize = 1_000;

/// A changed node, and a channel to notify after the attempt to store it.
pub(super) struct Arrival {
    pub(super) id: NodeId,
    pub(super) tried: Option<oneshot::Sender<()>>,
}

/// Stores all changes that have arrived, one transaction after the other, until `stop`. Failed
/// writes are repeated.
pub(super) async fn follow(shared: Arc<Shared>, arrivals: mpsc::UnboundedReceiver<Arrival>) {
    let mut stop = shared.stop.clone();
    let mut roster = Roster {
        shared,
        arrivals,
        new: Vec::new(),
        unwritten: HashSet::new(),
    };
    let mut second = time::interval(PERIOD);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => return roster.note().await,
            // Ahead of arrivals, which may never pause.
            _ = second.tick() => roster.note().await,
            _ = roster.arrivals.recv_many(&mut roster.new, AT_ONCE) => roster.write_down().await,
        }
    }
}

struct Roster {
    shared: Arc<Shared>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// The received changes that have not been handled yet.
    new: Vec<Arrival>,
    /// The nodes whose stored row may be outdated.
    unwritten: HashSet<NodeId>,
}

impl Roster {
    async fn write_down(&mut self) {
        let mut waiting = Vec::with_capacity(self.new.len());
        for Arrival { id, tried } in self.new.drain(..) {
            self.unwritten.insert(id);
            waiting.extend(tried);
        }
        if !self.unwritten.is_empty() {
            match self.shared.write_down(self.unwritten.iter()).await {
                Ok(()) => self.unwritten.clear(),
                Err(error) => {
                    let nodes = self.unwritten.len();
                    error!(%error, nodes, "cannot record nodes; they are served later");
                }
            }
        }
        for tried in waiting {
            // The receiver may be gone.
            let _ = tried.send(());
        }
    }

    /// Stores all earlier changes. If every served node is then stored, records that this control
    /// plane is running. Within [`SERVED_AFTER`] of its arrival, no node is served unstored.
    async fn note(&mut self) {
        let began = Instant::now();
        let mut left = self.arrivals.len();
        loop {
            while self.new.len() < AT_ONCE.min(left) {
                match self.arrivals.try_recv() {
                    Ok(arrival) => self.new.push(arrival),
                    Err(_) => left = 0,
                }
            }
            left = left.saturating_sub(self.new.len());
            self.write_down().await;
            if left == 0 {
                break;
            }
        }
        if self.unwritten.is_empty()
            && began.elapsed() < SERVED_AFTER
            && let Err(error) = self.shared.note().await
        {
            error!(%error, "cannot record that this control plane is running; the next start will \
            not know all nodes");
        }
    }
}
