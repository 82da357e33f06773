//! Writes down which nodes there are: the table follows what is in memory, and nobody who is served depends on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time;
use tracing::error;

use super::registry::{NodeId, Shared};

/// After a write that failed.
const RETRY: Duration = Duration::from_secs(1);

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
    loop {
        tokio::select! {
            _ = arrivals.recv_many(&mut new, AT_ONCE) => {}
            () = time::sleep(RETRY), if !unwritten.is_empty() => {}
            () = stop.requested() => return,
        }
        let mut waiting = Vec::with_capacity(new.len());
        for Arrival { id, tried } in new.drain(..) {
            unwritten.insert(id);
            waiting.extend(tried);
        }
        match shared.write_down(unwritten.iter()).await {
            Ok(()) => unwritten.clear(),
            Err(error) => {
                error!(%error, nodes = unwritten.len(), "nodes cannot be written down; a restart may miscount them");
            }
        }
        for tried in waiting {
            // Whoever asked may have left.
            let _ = tried.send(());
        }
    }
}
