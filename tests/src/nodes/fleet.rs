//! The fleet: all nodes together.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time;

use super::follower::Position;
pub use super::follower::Totals;
use super::node::{self, NodeId, Shared, View};
use super::reports::Reports;
use super::traffic::Traffic;
use crate::seeded_rng::SeededRng;

/// The nodes of one control plane. They end when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    nodes: Vec<Arc<View>>,
    rng: SeededRng,
    tasks: JoinSet<()>,
}

impl Fleet {
    /// Creates a fleet without nodes.
    #[must_use]
    pub fn new(address: SocketAddr, token: &str) -> Self {
        let shared = Arc::new(Shared {
            address,
            token: token.to_owned(),
            published: Notify::new(),
            reports: watch::Sender::new(None),
            numbers: OnceLock::new(),
            broken: Mutex::default(),
        });
        Self {
            shared,
            nodes: Vec::new(),
            rng: SeededRng(1),
            tasks: JoinSet::new(),
        }
    }

    /// Returns the number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns true if there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds `count` nodes that have no snapshot, and load a whole one.
    pub fn load(&mut self, count: usize) {
        self.add(count, &Position::default());
    }

    /// Adds `count` nodes that were connected before: they serve from the first node's snapshot,
    /// and continue from its position.
    pub fn resume(&mut self, count: usize) {
        let position = self.nodes.first().map(|node| lock(&node.position).clone());
        self.add(count, &position.unwrap_or_default());
    }

    fn add(&mut self, count: usize, position: &Position) {
        for _ in 0..count {
            let view = Arc::new(View {
                revision: AtomicU64::new(position.revision),
                connected: AtomicBool::new(false),
                position: Mutex::new(position.clone()),
                totals: Mutex::default(),
                streams: AtomicU64::new(0),
                traffic: Arc::new(Traffic::default()),
                withholds: watch::Sender::new(false),
            });
            let (number, instance) = (self.nodes.len(), self.rng.number());
            self.tasks.spawn(node::run(
                number,
                instance,
                self.shared.clone(),
                view.clone(),
            ));
            self.nodes.push(view);
        }
    }

    /// Waits until every node has a stream and decides by `revision` or a newer one.
    ///
    /// # Errors
    /// Fails when that is not so within the time, or when a node received a message that violates
    /// the protocol.
    pub async fn current(&self, revision: u64, within: Duration) -> Result<()> {
        let all = async {
            loop {
                let published = self.shared.published.notified();
                self.intact()?;
                if self.behind(revision) == 0 {
                    return Ok(());
                }
                published.await;
            }
        };
        let Ok(all) = time::timeout(within, all).await else {
            bail!(
                "{} of {} nodes are not at revision {revision} after {within:?}",
                self.behind(revision),
                self.len()
            );
        };
        all
    }

    /// # Errors
    /// Fails when a node received a message that violates the protocol.
    pub fn intact(&self) -> Result<()> {
        match lock(&self.shared.broken).first() {
            Some(broken) => bail!("{broken}"),
            None => Ok(()),
        }
    }

    fn behind(&self, revision: u64) -> usize {
        let current = |node: &View| {
            node.connected.load(Ordering::Acquire)
                && node.revision.load(Ordering::Acquire) >= revision
        };
        self.nodes.iter().filter(|node| !current(node)).count()
    }

    /// Makes a node withhold its acknowledgements, or resume them and acknowledge everything that
    /// it has received.
    pub fn withhold(&self, node: NodeId, withholds: bool) {
        if let Some(node) = self.nodes.get(node) {
            node.withholds.send_replace(withholds);
        }
    }

    /// Makes all nodes report usage, or none.
    pub fn report(&self, reports: Option<Reports>) {
        self.shared.reports.send_replace(reports);
    }

    /// Returns the totals that a node received on its newest stream, up to the newest revision.
    ///
    /// # Panics
    /// Panics when there is no such node.
    #[must_use]
    pub fn totals(&self, node: NodeId) -> Totals {
        lock(&self.nodes[node].totals).clone()
    }

    /// Returns the number of streams that were opened so far.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| node.streams.load(Ordering::Relaxed))
            .sum()
    }

    /// Returns the bytes that each node has received, and sent, over TCP.
    #[must_use]
    pub fn traffic(&self) -> Vec<(u64, u64)> {
        let load = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        self.nodes
            .iter()
            .map(|node| (load(&node.traffic.received), load(&node.traffic.sent)))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
