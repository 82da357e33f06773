//! Writes down which nodes there are: the table follows what is in memory. Each second in which the
//! table has all of them it is noted that this control plane runs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant, MissedTickBehavior};
use tracing::error;

use super::Shared;
use crate::nodes::identity::NodeId;

/// Between two notes, and after a write that failed.
const PERIOD: Duration = Duration::from_secs(1);

/// A node that came less than this ago is not served before it is written down.
const SERVED_AFTER: Duration = Duration::from_secs(5);

/// Nodes in one transaction, which keeps other writers waiting.
const AT_ONCE: usize = 1_000;

/// A node that came or went, and who wants to know that it was tried to write that down.
pub(super) struct Arrival {
    pub(super) id: NodeId,
    pub(super) tried: Option<oneshot::Sender<()>>,
}

/// Writes down whatever has come meanwhile in one transaction after the other, until `stop`. What
/// cannot be written now is tried again.
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
            // Ahead of arrivals, which may never cease.
            _ = second.tick() => roster.note().await,
            _ = roster.arrivals.recv_many(&mut roster.new, AT_ONCE) => roster.write_down().await,
        }
    }
}

struct Roster {
    shared: Arc<Shared>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// Those that were received and not looked at yet.
    new: Vec<Arrival>,
    /// Those that the table may not have as they are.
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
            // Whoever asked may have left.
            let _ = tried.send(());
        }
    }

    /// Writes down all that came before, and notes that this control plane runs if every node that
    /// it serves is written down: a node waits for that, up to [`SERVED_AFTER`].
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
