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

/// A node that came or went, and who wants to know that it was tried to write that down.
pub(super) struct Entry {
    pub(super) id: NodeId,
    pub(super) tried: Option<oneshot::Sender<()>>,
}

/// Writes one entry at a time, until `stop`. What cannot be written now is tried again.
pub(super) async fn follow(shared: Arc<Shared>, mut entries: mpsc::UnboundedReceiver<Entry>) {
    let mut stop = shared.stop.clone();
    let mut unwritten = HashSet::new();
    loop {
        let entry = tokio::select! {
            entry = entries.recv() => entry,
            () = time::sleep(RETRY), if !unwritten.is_empty() => None,
            () = stop.requested() => return,
        };
        let tried = entry.and_then(|entry| {
            unwritten.insert(entry.id);
            entry.tried
        });
        while let Some(id) = unwritten.iter().next().cloned() {
            if let Err(error) = shared.write_down(&id).await {
                error!(%error, nodes = unwritten.len(), "nodes cannot be written down; a restart may miscount them");
                break;
            }
            unwritten.remove(&id);
        }
        if let Some(tried) = tried {
            // Whoever asked may have left.
            let _ = tried.send(());
        }
    }
}
