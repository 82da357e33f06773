//! Writes down which nodes there are: the table follows what is in memory. Each second in which the table has all of them
//! it is noted that this control plane runs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, MissedTickBehavior};
use tracing::error;

use super::identity::NodeId;
use super::registry::Shared;

/// Between two notes, and after a write that failed.
const PERIOD: Duration = Duration::from_secs(1);

/// Nodes in one transaction, which keeps other writers waiting.
const AT_ONCE: usize = 1_000;

/// A node that came or went, and who wants to know that it was tried to write that down.
pub(super) struct Arrival {
    pub(super) id: NodeId,
    pub(super) tried: Option<oneshot::Sender<()>>,
}

/// Writes down whatever has come meanwhile in one transaction after the other, until `stop`. What cannot be written now is
/// tried again.
pub(super) async fn follow(shared: Arc<Shared>, mut arrivals: mpsc::UnboundedReceiver<Arrival>) {
    let mut stop = shared.stop.clone();
    let mut unwritten = HashSet::new();
    let mut new = Vec::new();
    let mut second = time::interval(PERIOD);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut notes = false;
        tokio::select! {
            biased;
            () = stop.requested() => {
                if unwritten.is_empty() {
                    note(&shared).await;
                }
                return;
            }
            _ = arrivals.recv_many(&mut new, AT_ONCE) => {}
            _ = second.tick() => notes = true,
        }
        let mut waiting = Vec::with_capacity(new.len());
        for Arrival { id, tried } in new.drain(..) {
            unwritten.insert(id);
            waiting.extend(tried);
        }
        if !unwritten.is_empty() {
            match shared.write_down(unwritten.iter()).await {
                Ok(()) => unwritten.clear(),
                Err(error) => {
                    error!(%error, nodes = unwritten.len(), "nodes cannot be written down; they are served late");
                }
            }
        }
        for tried in waiting {
            // Whoever asked may have left.
            let _ = tried.send(());
        }
        if notes && unwritten.is_empty() {
            note(&shared).await;
        }
    }
}

async fn note(shared: &Shared) {
    if let Err(error) = shared.note().await {
        error!(%error, "it cannot be noted that this control plane runs; a start will not know all nodes");
    }
}
