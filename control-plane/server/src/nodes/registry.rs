//! Which nodes there are, and what each has acknowledged.
//!
//! A node counts from its Hello until it can no longer serve: when its stream has been gone for the
//! longer of the grace period and the staleness limit that it has reported. A newer stream of the
//! same node takes the place of the older one, whose end then means nothing. Nodes are also written
//! down, so that a control plane that starts again counts those it does not see yet; a node that
//! cannot be written down counts all the same.

mod connection;
mod full;
mod lost;
mod nodes;
mod refused;
mod roster;
mod view;

use latchkey_model::clock::Clock;
use latchkey_store::{NodeRow, Note, Store, StoreError};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::Status;

use super::hello::{NodeFacts, ValidatedHello};
use super::identity::NodeId;
use super::log_limit::LogLimit;
use super::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::stop::Stop;
pub(crate) use connection::Connection;
use connection::SkewWarning;
pub(crate) use nodes::Progress;
use nodes::{Line, Node, Nodes};
use refused::RefusedPeers;
pub(crate) use refused::{Refusal, RefusedPeer};
use roster::Arrival;
pub(crate) use view::{NodeState, NodeView};

/// For how long lost nodes count, and how many nodes there can be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeLimits {
    /// For how long a lost node is waited for, and counts at least.
    pub(crate) grace: Duration,
    /// Whether nodes that report no staleness limit because they are of version 0.1 count as ones
    /// without a limit.
    pub(crate) require_staleness: bool,
    /// Nodes at most.
    pub(crate) max_nodes: usize,
}

impl NodeLimits {
    /// For how long a node counts once it is lost. None: until it is back or forgotten.
    fn counts_for(&self, protocol: u32, staleness: u64) -> Option<Duration> {
        match (protocol, staleness) {
            (0, _) => (!self.require_staleness).then_some(self.grace),
            (_, 0) => None,
            (_, staleness) => Some(self.grace.max(Duration::from_secs(staleness))),
        }
    }
}

/// The nodes; clones share them.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Shared>);

pub(super) struct Shared {
    nodes: Mutex<Nodes>,
    /// The oldest revision that a node decides by which is waited for; the highest number if there
    /// is none.
    oldest: watch::Sender<u64>,
    roster: mpsc::UnboundedSender<Arrival>,
    refused: RefusedPeers,
    /// Bounds what is logged while there are too many nodes.
    full: LogLimit,
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    limits: NodeLimits,
    began: Instant,
    /// The database's uptime when this began.
    uptime_before: i64,
    /// The uptime of this process at the last note, in milliseconds.
    noted: AtomicI64,
    pub(super) stop: Stop,
}

impl Registry {
    /// The nodes that the store knows of count as lost: just now, unless the store knows since
    /// when.
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
        let past = store.begin_life(clock.now(), grace, counts_for).await?;
        let (roster, entries) = mpsc::unbounded_channel();
        let mut nodes = Nodes::default();
        nodes.unknown_until = past.unknown_until;
        let registry = Self(Arc::new(Shared {
            nodes: Mutex::new(nodes),
            oldest: watch::Sender::new(u64::MAX),
            roster,
            refused: RefusedPeers::default(),
            full: LogLimit::default(),
            store,
            clock,
            metrics,
            limits,
            began: Instant::now(),
            uptime_before: past.uptime,
            noted: AtomicI64::new(0),
            stop,
        }));
        registry.0.clone().recall(past.nodes)?;
        registry.0.warn_of_unknown();
        tokio::spawn(roster::follow(registry.0.clone(), entries));
        Ok(registry)
    }

    /// A stream of the node that said `hello` begins. It has acknowledged nothing yet.
    ///
    /// # Errors
    /// When there are too many connected nodes, and this is not one of them.
    pub(crate) fn connect(
        &self,
        hello: &ValidatedHello,
        remote: Option<std::net::SocketAddr>,
    ) -> Result<Connection, Status> {
        self.admit(hello.id.clone(), hello.facts.clone(), remote)
    }

    pub(crate) fn admit(
        &self,
        id: NodeId,
        facts: NodeFacts,
        remote: Option<std::net::SocketAddr>,
    ) -> Result<Connection, Status> {
        let shared = self.0.clone();
        let mailbox = Mailbox::default();
        let (sender, replaced) = tokio::sync::oneshot::channel();
        let line = Line {
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
        let (written, skew, warned) = before
            .map_or((None, None, SkewWarning::default()), |before| {
                (before.written, before.skew, before.warned)
            });
        let since = shared.clock.now();
        let node = Node {
            remote,
            line: Some(line),
            skew,
            warned,
            written,
            ..Node::lost(stream, facts, since, 0)
        };
        nodes.insert(id.clone(), node);
        shared.tell(&nodes);
        drop(nodes);
        Ok(Connection {
            id,
            stream,
            replaced,
            mailbox,
            shared,
        })
    }

    /// Whether a newer stream has taken the place of the node's `stream`.
    pub(crate) fn is_superseded(&self, id: &NodeId, stream: u64) -> bool {
        self.0
            .lock()
            .get(id)
            .is_some_and(|node| node.stream > stream && node.line.is_some())
    }

    /// Where nodes with an open stream are told about usage, by what their usage is kept under.
    pub(crate) fn mailboxes(&self) -> Vec<(String, Mailbox)> {
        let nodes = self.0.lock();
        let open = nodes
            .iter()
            .filter_map(|(_, node)| Some((node, node.line.as_ref()?)));
        open.map(|(node, line)| (node.facts.meter.clone(), line.mailbox.clone()))
            .collect()
    }

    /// How many nodes count, and how many of them have acknowledged `revision`.
    pub(crate) fn progress(&self, revision: u64) -> Progress {
        self.0.lock().progress(revision)
    }

    /// Resolves once every node that is waited for has acknowledged `revision`.
    pub(crate) async fn acknowledged(&self, revision: u64) {
        // Its sender is here, so it cannot be closed.
        let _ = self
            .0
            .oldest
            .subscribe()
            .wait_for(|oldest| *oldest >= revision)
            .await;
    }

    /// The oldest revision that a node decides by which is connected or was lost within the grace;
    /// none without such a node.
    pub(crate) fn slowest(&self) -> Option<u64> {
        let oldest = *self.0.oldest.borrow();
        (oldest < u64::MAX).then_some(oldest)
    }

    /// How long ago it was noted that all nodes are written down.
    pub(crate) fn noted_ago(&self) -> Duration {
        let noted = Duration::from_millis(self.0.noted.load(Ordering::Acquire).cast_unsigned());
        self.0.began.elapsed().saturating_sub(noted)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Nodes> {
        // Nobody panics while holding it, and every entry is whole at all times.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for the slowest node, and nobody for all the others. Under the lock, so
    /// that what is told last is what holds.
    fn tell(&self, nodes: &Nodes) {
        let now = nodes.oldest();
        self.oldest
            .send_if_modified(|oldest| std::mem::replace(oldest, now) != now);
    }

    /// Seconds that control planes have run on this database.
    fn uptime(&self) -> i64 {
        self.uptime_before
            .saturating_add(lost::seconds(self.began.elapsed()))
    }

    /// Notes that this control plane runs. Called by the roster alone, when every node is written
    /// down.
    pub(super) async fn note(&self) -> Result<(), StoreError> {
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
        self.noted.store(
            i64::try_from(began.as_millis()).unwrap_or(i64::MAX),
            Ordering::Release,
        );
        Ok(())
    }

    /// Makes the table say of these nodes what is in memory. Called by the roster alone, one at a
    /// time.
    pub(super) async fn write_down(
        &self,
        ids: impl Iterator<Item = &NodeId>,
    ) -> Result<(), StoreError> {
        let (mut come, mut gone) = (Vec::new(), Vec::new());
        for id in ids {
            match self.lock().get(id) {
                Some(node) if !node.is_written(id) => come.push((id, node.row(id))),
                Some(_) => {}
                None => gone.push(id.key()),
            }
        }
        if come.is_empty() && gone.is_empty() {
            return Ok(());
        }
        // Read after the nodes: it covers those that are gone because there were too many.
        let unknown_until = self.lock().unknown_until.filter(|_| !gone.is_empty());
        self.store
            .write_nodes(come.iter().map(|(_, row)| row), &gone, unknown_until)
            .await?;
        come.into_iter()
            .for_each(|(id, row)| self.lock().written(id, row));
        Ok(())
    }

    /// Runs `change` on the node, if `stream` is still its newest.
    fn change(&self, id: &NodeId, stream: u64, change: impl FnOnce(&mut Node)) -> bool {
        let mut nodes = self.lock();
        let newest = nodes.change(id, stream, change);
        if newest {
            self.tell(&nodes);
        }
        newest
    }

    /// Has the table follow what is in memory of a node.
    fn follow(&self, id: NodeId) {
        // Nobody follows any more once it stops.
        let _ = self.roster.send(Arrival { id, tried: None });
    }
}

#[cfg(test)]
mod tests;
