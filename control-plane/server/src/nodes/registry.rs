//! All nodes, and the revision that each has acknowledged.
//!
//! A node counts from its Hello until it can no longer serve: when its stream has been closed for
//! the longer of the grace period and the staleness limit that the node has reported. A newer
//! stream of the same node replaces the older one, whose end is then ignored. Nodes are also
//! stored, so that a restarted control plane counts those that have not returned yet. A node that
//! cannot be stored still counts.

mod capacity;
mod connection;
mod expiry;
mod former_nodes;
mod lost;
mod node_persister;
mod nodes;
mod refused;
mod view;

use latchkey_model::clock::Clock;
use latchkey_store::{NodeRow, Note, Store, StoreError};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::Status;

use super::hello::{NodeProperties, ValidatedHello};
use super::identity::NodeId;
use super::log_limit::LogLimit;
use super::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::stop::Stop;
pub(crate) use connection::NodeConnection;
use connection::SkewWarning;
use node_persister::{NodePersister, NodeUpdate};
pub(crate) use nodes::Progress;
use nodes::{Node, Nodes, StreamHandle};
use refused::RefusedPeers;
pub use refused::{Refusal, RefusedPeer};
pub use view::{NodeState, NodeView};

/// The time for which lost nodes count, and the maximum number of nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeLimits {
    /// The time for which calls wait for a lost node, and the minimum time for which it counts.
    pub(crate) grace: Duration,
    /// True if nodes of version 0.1, which report no staleness limit, count as nodes without one.
    pub(crate) require_staleness: bool,
    /// The maximum number of nodes.
    pub(crate) max_nodes: usize,
}

impl NodeLimits {
    /// Returns the time for which a lost node counts. `None`: until it returns or is forgotten.
    fn counts_for(&self, protocol: u32, staleness: u64) -> Option<Duration> {
        match (protocol, staleness) {
            (0, _) => (!self.require_staleness).then_some(self.grace),
            (_, 0) => None,
            (_, staleness) => Some(self.grace.max(Duration::from_secs(staleness))),
        }
    }
}

/// The nodes. Clones share them.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

pub(super) struct Shared {
    nodes: Mutex<Nodes>,
    /// The oldest revision in force at a node that calls wait for; the highest number if there is
    /// no such node.
    oldest: watch::Sender<u64>,
    /// The nodes whose stored rows must be updated.
    updates: mpsc::UnboundedSender<NodeUpdate>,
    refused: RefusedPeers,
    /// Limits log lines while there are too many nodes.
    capacity_log: LogLimit,
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    limits: NodeLimits,
    began: Instant,
    /// The database's uptime at the start of this process, in seconds.
    uptime_before: i64,
    /// The uptime of this process at the last record of it, in milliseconds.
    recorded: AtomicI64,
    pub(super) stop: Stop,
}

impl Registry {
    /// Opens the registry. Nodes in the store count as lost from now on, unless the store knows
    /// when they were lost.
    pub(crate) async fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        limits: NodeLimits,
        stop: Stop,
    ) -> Result<Self, StoreError> {
        let grace = lost::seconds(limits.grace);
        let counts_for = |row: &NodeRow| {
            limits
                .counts_for(row.protocol, row.staleness.cast_unsigned())
                .map_or(latchkey_store::FOREVER, lost::seconds)
        };
        let past = store.begin_run(clock.now(), grace, counts_for).await?;

        let (updates, received) = mpsc::unbounded_channel();
        let mut nodes = Nodes::default();
        nodes.unknown_until = past.unknown_until;
        let registry = Self(Arc::new(Shared {
            nodes: Mutex::new(nodes),
            oldest: watch::Sender::new(u64::MAX),
            updates,
            refused: RefusedPeers::default(),
            capacity_log: LogLimit::default(),
            store,
            clock,
            metrics,
            limits,
            began: Instant::now(),
            uptime_before: past.uptime,
            recorded: AtomicI64::new(0),
            stop,
        }));

        registry.0.clone().restore(past.nodes)?;
        registry.0.warn_of_unknown();
        tokio::spawn(NodePersister::new(registry.0.clone(), received).run());
        Ok(registry)
    }

    /// Registers a new stream of the node that sent `hello`. It has acknowledged nothing yet.
    ///
    /// # Errors
    /// Fails if too many nodes are connected and this is not one of them.
    pub(crate) fn connect(
        &self,
        hello: &ValidatedHello,
        remote: Option<std::net::SocketAddr>,
    ) -> Result<NodeConnection, Status> {
        self.admit(hello.id.clone(), hello.facts.clone(), remote)
    }

    /// Registers a new stream of a node with these properties.
    ///
    /// # Errors
    /// The same as for [`connect`](Self::connect).
    pub(crate) fn admit(
        &self,
        id: NodeId,
        facts: NodeProperties,
        remote: Option<std::net::SocketAddr>,
    ) -> Result<NodeConnection, Status> {
        let shared = self.0.clone();
        let mailbox = Mailbox::default();
        let (sender, replaced) = tokio::sync::oneshot::channel();
        let handle = StreamHandle {
            _replaced: sender,
            mailbox: mailbox.clone(),
        };

        let mut nodes = shared.lock();
        let before = nodes.remove(&id);
        if before.is_none() && !shared.make_room(&mut nodes) {
            drop(nodes);
            return Err(shared.refuse_for_room(&id, remote));
        }

        let stream = nodes.new_stream();
        let (stored_row, skew, warned) = before
            .map_or((None, None, SkewWarning::default()), |before| {
                (before.stored_row, before.skew, before.warned)
            });
        let since = shared.clock.now();
        let node = Node {
            remote,
            open_stream: Some(handle),
            skew,
            warned,
            stored_row,
            ..Node::lost(stream, facts, since, 0)
        };
        nodes.insert(id.clone(), node);
        shared.notify_waiters(&nodes);
        drop(nodes);

        Ok(NodeConnection {
            id,
            stream,
            replaced,
            mailbox,
            shared,
        })
    }

    /// Returns whether a newer stream has replaced the node's `stream`.
    pub(crate) fn is_superseded(&self, id: &NodeId, stream: u64) -> bool {
        self.0
            .lock()
            .get(id)
            .is_some_and(|node| node.stream > stream && node.open_stream.is_some())
    }

    /// Returns the mailboxes of nodes with an open stream, each with the name that their usage is
    /// stored under.
    pub(crate) fn mailboxes(&self) -> Vec<(String, Mailbox)> {
        let nodes = self.0.lock();
        let open = nodes
            .iter()
            .filter_map(|(_, node)| Some((node, node.open_stream.as_ref()?)));
        open.map(|(node, stream)| (node.facts.meter.clone(), stream.mailbox.clone()))
            .collect()
    }

    /// Returns the number of nodes that count, and of those that have acknowledged `revision`.
    pub(crate) fn progress(&self, revision: u64) -> Progress {
        self.0.lock().progress(revision)
    }

    /// Resolves once every node that calls wait for has acknowledged `revision`.
    pub(crate) async fn acknowledged(&self, revision: u64) {
        // `self` holds the sender, so the channel cannot be closed.
        let _ = self
            .0
            .oldest
            .subscribe()
            .wait_for(|oldest| *oldest >= revision)
            .await;
    }

    /// Returns the oldest revision in force at a node that is connected or was lost within the
    /// grace period, or `None` without such a node.
    pub fn slowest(&self) -> Option<u64> {
        let oldest = *self.0.oldest.borrow();
        (oldest < u64::MAX).then_some(oldest)
    }

    /// Returns the time since the store last recorded that all nodes are stored.
    pub(crate) fn since_recorded(&self) -> Duration {
        let recorded =
            Duration::from_millis(self.0.recorded.load(Ordering::Acquire).cast_unsigned());
        self.0.began.elapsed().saturating_sub(recorded)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Nodes> {
        // No code panics while it holds the lock, and every entry is consistent at all times.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the calls that wait for the slowest node, and only if its revision has changed. Called
    /// under the lock, so that the last value sent is the current one.
    fn notify_waiters(&self, nodes: &Nodes) {
        let now = nodes.oldest();
        self.oldest
            .send_if_modified(|oldest| std::mem::replace(oldest, now) != now);
    }

    /// Returns the total time in seconds for which control planes have run on this database.
    fn uptime(&self) -> i64 {
        self.uptime_before
            .saturating_add(lost::seconds(self.began.elapsed()))
    }

    /// Records in the store that this control plane is running. Called only by the
    /// [`NodePersister`], once every node is stored.
    pub(super) async fn record_running(&self) -> Result<(), StoreError> {
        let began = self.began.elapsed();
        let uptime = self
            .uptime_before
            .saturating_add(i64::try_from(began.as_secs()).unwrap_or(i64::MAX));
        let unknown_until = self.lock().expire_unknown(uptime);

        self.store
            .note(Note {
                now: self.clock.now(),
                uptime,
                unknown_until,
            })
            .await?;

        self.recorded.store(
            i64::try_from(began.as_millis()).unwrap_or(i64::MAX),
            Ordering::Release,
        );
        Ok(())
    }

    /// Updates the stored rows of these nodes to their state in memory. Called only by the
    /// [`NodePersister`], one call at a time.
    pub(super) async fn persist(
        &self,
        ids: impl Iterator<Item = &NodeId>,
    ) -> Result<(), StoreError> {
        let (mut present, mut removed) = (Vec::new(), Vec::new());
        for id in ids {
            match self.lock().get(id) {
                Some(node) if !node.is_persisted(id) => present.push((id, node.row(id))),
                Some(_) => {}
                None => removed.push(id.key()),
            }
        }
        if present.is_empty() && removed.is_empty() {
            return Ok(());
        }

        // Read after the nodes, so that it covers those that were removed because there were too
        // many.
        let unknown_until = self.lock().unknown_until.filter(|_| !removed.is_empty());
        self.store
            .write_nodes(present.iter().map(|(_, row)| row), &removed, unknown_until)
            .await?;

        present
            .into_iter()
            .for_each(|(id, row)| self.lock().set_stored_row(id, row));
        Ok(())
    }

    /// Runs `change` on the node if `stream` is still its newest. Returns whether it is.
    fn change(&self, id: &NodeId, stream: u64, change: impl FnOnce(&mut Node)) -> bool {
        let mut nodes = self.lock();
        let newest = nodes.change(id, stream, change);
        if newest {
            self.notify_waiters(&nodes);
        }
        newest
    }

    /// Schedules an update of the node's stored row.
    fn schedule_update(&self, id: NodeId) {
        // The persister ends at the stop.
        let _ = self.updates.send(NodeUpdate {
            id,
            attempted: None,
        });
    }
}

#[cfg(test)]
mod tests;
