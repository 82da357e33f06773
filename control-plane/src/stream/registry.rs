//! Which nodes there are, and what each has acknowledged.
//!
//! A node counts from its Hello until its stream has been gone for the grace period: until then it may be deciding
//! requests from memory. A newer stream of the same process takes the place of the older one, whose end then means
//! nothing. Nodes are also written down, so that a control plane that starts again counts those it does not see yet;
//! a node that cannot be written down counts all the same.

mod nodes;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time;
use tracing::info;

use super::roster::{self, Arrival};
use crate::clock::Clock;
use crate::stop::Stop;
use crate::store::{NodeRow, Store, StoreError};
use crate::usage::Mailbox;
pub(crate) use nodes::Progress;
use nodes::{Line, Node, Nodes};

/// One Envoy process: its node id and the number of its instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId {
    pub(crate) node_id: String,
    pub(crate) instance: u64,
}

/// A node as it is told of.
#[derive(Debug, Clone)]
pub(crate) struct NodeView {
    pub(crate) id: NodeId,
    pub(crate) version: String,
    pub(crate) connected: bool,
    /// Unix seconds: when it connected, or when it was lost.
    pub(crate) since: i64,
    pub(crate) acknowledged: u64,
    pub(crate) remote: Option<SocketAddr>,
}

/// The nodes; clones share them.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Shared>);

pub(super) struct Shared {
    nodes: Mutex<Nodes>,
    /// The oldest revision that a node decides by; the highest number if there is no node.
    oldest: watch::Sender<u64>,
    roster: mpsc::UnboundedSender<Arrival>,
    store: Store,
    clock: Arc<dyn Clock>,
    grace: Duration,
    pub(super) stop: Stop,
}

impl Registry {
    /// The nodes that the store knows of count as lost just now.
    pub(crate) async fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        grace: Duration,
        stop: Stop,
    ) -> Result<Self, StoreError> {
        let rows = store.nodes().await?;
        let (roster, entries) = mpsc::unbounded_channel();
        let registry = Self(Arc::new(Shared {
            nodes: Mutex::default(),
            oldest: watch::Sender::new(u64::MAX),
            roster,
            store,
            clock,
            grace,
            stop,
        }));
        for row in rows {
            let instance = u64::from_str_radix(&row.instance, 16).map_err(|_| StoreError::Damaged("a node"))?;
            let id = NodeId { node_id: row.node_id, instance };
            let stream = registry.0.insert(&id, row.version.clone(), 0, None, None);
            registry.0.lock().written(&id, &row.version);
            registry.0.clone().give_up_after_grace(id, stream);
        }
        tokio::spawn(roster::follow(registry.0.clone(), entries));
        Ok(registry)
    }

    /// A stream of `id` begins. What it acknowledged on earlier streams counts only as far as `acknowledged` says.
    pub(crate) fn connect(
        &self,
        id: NodeId,
        version: String,
        acknowledged: u64,
        remote: Option<SocketAddr>,
    ) -> Connection {
        let shared = self.0.clone();
        let (sender, replaced) = oneshot::channel();
        let mailbox = Mailbox::default();
        let line = Line { _replaced: sender, mailbox: mailbox.clone() };
        let stream = shared.insert(&id, version, acknowledged, remote, Some(line));
        Connection { id, stream, replaced, mailbox, shared }
    }

    /// Whether a newer stream has taken the place of the node's `stream`.
    pub(crate) fn is_superseded(&self, id: &NodeId, stream: u64) -> bool {
        self.0.lock().get(id).is_some_and(|node| node.stream != stream)
    }

    /// Where nodes with an open stream are told about usage, by their instances as the store has them.
    pub(crate) fn mailboxes(&self) -> Vec<(String, Mailbox)> {
        let nodes = self.0.lock();
        let open = nodes.iter().filter_map(|(id, node)| Some((id, node.line.as_ref()?)));
        open.map(|(id, line)| (hexadecimal(id.instance), line.mailbox.clone())).collect()
    }

    /// How many nodes count, and how many of them have acknowledged `revision`.
    pub(crate) fn progress(&self, revision: u64) -> Progress {
        self.0.lock().progress(revision)
    }

    /// Resolves once every node has acknowledged `revision`.
    pub(crate) async fn acknowledged(&self, revision: u64) {
        // Its sender is here, so it cannot be closed.
        let _ = self.0.oldest.subscribe().wait_for(|oldest| *oldest >= revision).await;
    }

    /// Every node that counts, in the order of their ids.
    pub(crate) fn nodes(&self) -> Vec<NodeView> {
        let view = |(id, node): (&NodeId, &Node)| NodeView {
            id: id.clone(),
            version: node.version.clone(),
            connected: node.line.is_some(),
            since: node.since,
            acknowledged: node.acknowledged,
            remote: node.remote,
        };
        let mut nodes: Vec<_> = self.0.lock().iter().map(view).collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        nodes
    }

    /// Nodes with an open stream.
    pub(crate) fn connected(&self) -> usize {
        self.0.lock().iter().filter(|(_, node)| node.line.is_some()).count()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Nodes> {
        // Nobody panics while holding it, and every entry is whole at all times.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(
        &self,
        id: &NodeId,
        version: String,
        acknowledged: u64,
        remote: Option<SocketAddr>,
        line: Option<Line>,
    ) -> u64 {
        let mut nodes = self.lock();
        let stream = nodes.new_stream();
        let written = nodes.get(id).is_some_and(|node| node.written && node.version == version);
        let node = Node { stream, version, since: self.clock.now(), acknowledged, remote, line, written };
        nodes.insert(id.clone(), node);
        self.tell(&nodes);
        stream
    }

    fn remove(&self, id: &NodeId, stream: u64) -> bool {
        let mut nodes = self.lock();
        let newest = nodes.get(id).is_some_and(|node| node.stream == stream);
        if newest {
            nodes.remove(id);
            self.tell(&nodes);
        }
        newest
    }

    /// Wakes whoever waits for the slowest node, and nobody for all the others. Under the lock, so that what is told last
    /// is what holds.
    fn tell(&self, nodes: &Nodes) {
        let now = nodes.oldest();
        self.oldest.send_if_modified(|oldest| std::mem::replace(oldest, now) != now);
    }

    /// The node's version, unless the table has it.
    fn unwritten(&self, id: &NodeId) -> Option<String> {
        self.lock().get(id).filter(|node| !node.written).map(|node| node.version.clone())
    }

    /// Makes the table say of these nodes what is in memory. Called by the roster alone, one at a time.
    pub(super) async fn write_down(&self, ids: impl Iterator<Item = &NodeId>) -> Result<(), StoreError> {
        let (mut come, mut gone) = (Vec::new(), Vec::new());
        for id in ids {
            let (node_id, instance) = (id.node_id.clone(), hexadecimal(id.instance));
            if let Some(version) = self.unwritten(id) {
                come.push((id, NodeRow { node_id, instance, version }));
            } else if self.lock().get(id).is_none() {
                gone.push((node_id, instance));
            }
        }
        if come.is_empty() && gone.is_empty() {
            return Ok(());
        }
        self.store.write_nodes(come.iter().map(|(_, row)| row), &gone).await?;
        come.iter().for_each(|(id, row)| self.lock().written(id, &row.version));
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

    fn give_up_after_grace(self: Arc<Self>, id: NodeId, stream: u64) {
        tokio::spawn(async move {
            let mut stop = self.stop.clone();
            // A control plane that stops gives up nobody.
            tokio::select! {
                () = time::sleep(self.grace) => {}
                () = stop.requested() => return,
            }
            if self.remove(&id, stream) {
                info!(node = id.node_id, instance = hexadecimal(id.instance), "node given up");
                // Nobody follows any more once it stops.
                let _ = self.roster.send(Arrival { id, tried: None });
            }
        });
    }
}

/// A node's stream, as long as it lives.
pub(crate) struct Connection {
    pub(crate) id: NodeId,
    /// Which of all streams this is.
    pub(crate) stream: u64,
    /// Resolves when a newer stream has taken this one's place.
    pub(crate) replaced: oneshot::Receiver<()>,
    /// What the node is to be told about usage.
    pub(crate) mailbox: Mailbox,
    shared: Arc<Shared>,
}

impl Connection {
    /// Has the node written down if it is not. Resolves when that was done, or could not be done for now.
    pub(crate) fn write_down(&self) -> impl Future<Output = ()> + use<> {
        let tried = self.shared.unwritten(&self.id).map(|_| {
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

    /// The node decides by `revision`, and never again by an older one while this stream lives.
    pub(crate) fn acknowledge(&self, revision: u64) {
        self.shared.change(&self.id, self.stream, |node| node.acknowledged = node.acknowledged.max(revision));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        let lost = self.shared.change(&self.id, self.stream, |node| {
            node.line = None;
            node.since = now;
        });
        if lost {
            self.shared.clone().give_up_after_grace(self.id.clone(), self.stream);
        }
    }
}

/// How instances are written outside the stream.
pub(crate) fn hexadecimal(instance: u64) -> String {
    format!("{instance:016x}")
}
