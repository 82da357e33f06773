//! The nodes in memory, and the number of nodes that have acknowledged each revision.

use latchkey_store::{Epoch, NodeRow};
use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::SocketAddr;
use tokio::sync::oneshot;

use super::NodeId;
use super::connection::SkewWarning;
use super::expiry::Expiry;
use super::former_nodes::FormerNodes;
use crate::nodes::hello::NodeProperties;
use crate::nodes::mailbox::Mailbox;

/// The progress of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of nodes that may be deciding requests. All unknown nodes count as one.
    pub(crate) nodes: usize,
    pub(crate) acknowledged: usize,
    /// The number of nodes that have not acknowledged and have no stream.
    pub(crate) lost: usize,
    /// True if unknown nodes may be deciding requests.
    pub(crate) unknown: bool,
}

impl Progress {
    /// Returns whether every node that may be deciding requests has acknowledged.
    pub(crate) fn complete(self) -> bool {
        !self.unknown && self.acknowledged >= self.nodes
    }
}

/// The class that a node is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It has a stream.
    Open,
    /// It was lost within the grace period, so calls wait for it.
    Recent,
    /// It was lost earlier.
    Lost,
}

/// A node that may be deciding requests.
pub(super) struct Node {
    /// The number of the node's newest stream. It also changes each time that the grace period
    /// begins again.
    pub(super) stream: u64,
    pub(super) facts: NodeProperties,
    pub(super) since: i64,
    pub(super) acknowledged: u64,
    pub(super) remote: Option<SocketAddr>,
    /// The open stream; `None` if the node is lost.
    pub(super) open_stream: Option<StreamHandle>,
    /// True if the node is lost and the grace period is over.
    pub(super) grace_over: bool,
    /// The uptime at the loss of a lost node, in seconds.
    pub(super) lost_at: i64,
    /// The expiry of a lost node.
    pub(super) expiry: Option<Expiry>,
    /// The epoch of its snapshot, if it is not accepted.
    pub(super) waiting: Option<Epoch>,
    /// The reason for its last refusal.
    pub(super) refused: Option<String>,
    /// The lead of its clock, in milliseconds.
    pub(super) skew: Option<i64>,
    /// The last logged skew.
    pub(super) warned: SkewWarning,
    /// The stored row.
    pub(super) stored_row: Option<NodeRow>,
}

/// The channels to an open stream.
pub(super) struct StreamHandle {
    /// Dropped with the entry, which notifies the stream that it has been replaced.
    pub(super) _replaced: oneshot::Sender<()>,
    pub(super) mailbox: Mailbox,
}

impl Node {
    /// Returns a node without a stream.
    pub(super) fn lost(stream: u64, facts: NodeProperties, since: i64, lost_at: i64) -> Self {
        Self {
            stream,
            facts,
            since,
            acknowledged: 0,
            remote: None,
            open_stream: None,
            grace_over: false,
            lost_at,
            expiry: None,
            waiting: None,
            refused: None,
            skew: None,
            warned: SkewWarning::default(),
            stored_row: None,
        }
    }

    fn class(&self) -> Class {
        match &self.open_stream {
            Some(_) => Class::Open,
            None if self.grace_over => Class::Lost,
            None => Class::Recent,
        }
    }

    /// Returns the row to store. For a node within the grace period, the row contains no time of
    /// the loss: a restarted control plane counts it as lost from the start on, which is later.
    pub(super) fn row(&self, id: &NodeId) -> NodeRow {
        let lost = self.class() == Class::Lost;
        NodeRow {
            node_id: id.node_id.clone(),
            secret_hash: id.secret_hash.clone(),
            meter: self.facts.meter.clone(),
            instance: self.facts.instance.map(crate::nodes::identity::hexadecimal),
            version: self.facts.version.clone(),
            protocol: self.facts.protocol,
            staleness: i64::try_from(self.facts.staleness).unwrap_or(i64::MAX),
            lost_at: lost.then_some(self.lost_at),
            lost_since: lost.then_some(self.since),
        }
    }

    /// Returns whether the stored row matches the node's state.
    pub(super) fn is_persisted(&self, id: &NodeId) -> bool {
        self.stored_row.as_ref() == Some(&self.row(id))
    }
}

/// The number of nodes by acknowledged revision, so that progress is computed without a loop over
/// all nodes.
#[derive(Default)]
struct Counts(BTreeMap<u64, usize>);

impl Counts {
    fn add(&mut self, acknowledged: u64) {
        let count = self.0.entry(acknowledged).or_default();
        *count = count.saturating_add(1);
    }

    fn remove(&mut self, acknowledged: u64) {
        if let Entry::Occupied(mut count) = self.0.entry(acknowledged) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn reached(&self, revision: u64) -> usize {
        self.0.range(revision..).map(|(_, count)| count).sum()
    }

    fn behind(&self, revision: u64) -> usize {
        self.0.range(..revision).map(|(_, count)| count).sum()
    }

    fn oldest(&self) -> u64 {
        self.0
            .first_key_value()
            .map_or(u64::MAX, |(revision, _)| *revision)
    }
}

/// All nodes.
#[derive(Default)]
pub(super) struct Nodes {
    by_id: HashMap<NodeId, Node>,
    open: Counts,
    recent: Counts,
    lost: Counts,
    /// The uptime until which unknown nodes may serve.
    pub(super) unknown_until: Option<i64>,
    /// The number of nodes that have become unknown ones, and the last of them.
    pub(super) merged: (u64, Option<NodeId>),
    /// Nodes of version 0.1 that are no longer counted.
    pub(super) former: FormerNodes,
    streams: u64,
}

impl Nodes {
    pub(super) fn get(&self, id: &NodeId) -> Option<&Node> {
        self.by_id.get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Node)> {
        self.by_id.iter()
    }

    /// Notes the stored row of a node.
    pub(super) fn set_stored_row(&mut self, id: &NodeId, row: NodeRow) {
        if let Some(node) = self.by_id.get_mut(id) {
            node.stored_row = Some(row);
        }
    }

    /// Returns a number that no earlier stream had.
    pub(super) fn new_stream(&mut self) -> u64 {
        self.streams = self.streams.saturating_add(1);
        self.streams
    }

    /// Returns the number of nodes, and of those that have acknowledged `revision`.
    pub(super) fn progress(&self, revision: u64) -> Progress {
        let unknown = self.unknown_until.is_some();
        let uncounted = usize::from(unknown);
        let acknowledged =
            [&self.open, &self.recent, &self.lost].map(|counts| counts.reached(revision));
        Progress {
            nodes: self.by_id.len().saturating_add(uncounted),
            acknowledged: acknowledged.into_iter().sum(),
            lost: self.recent.behind(revision) + self.lost.behind(revision) + uncounted,
            unknown,
        }
    }

    pub(super) fn insert(&mut self, id: NodeId, node: Node) {
        self.remove(&id);
        self.counts(node.class()).add(node.acknowledged);
        self.by_id.insert(id, node);
    }

    pub(super) fn remove(&mut self, id: &NodeId) -> Option<Node> {
        let node = self.by_id.remove(id)?;
        self.counts(node.class()).remove(node.acknowledged);
        Some(node)
    }

    /// Runs `change` on the node if `stream` is still its newest. Returns whether it is.
    pub(super) fn change(
        &mut self,
        id: &NodeId,
        stream: u64,
        change: impl FnOnce(&mut Node),
    ) -> bool {
        let Some(node) = self.by_id.get_mut(id).filter(|node| node.stream == stream) else {
            return false;
        };

        let before = (node.class(), node.acknowledged);
        change(node);
        let after = (node.class(), node.acknowledged);

        if before != after {
            self.counts(before.0).remove(before.1);
            self.counts(after.0).add(after.1);
        }

        true
    }

    fn counts(&mut self, class: Class) -> &mut Counts {
        match class {
            Class::Open => &mut self.open,
            Class::Recent => &mut self.recent,
            Class::Lost => &mut self.lost,
        }
    }

    /// Returns the oldest revision in force at a node that calls wait for; the highest number if
    /// there is no such node.
    pub(super) fn oldest(&self) -> u64 {
        self.open.oldest().min(self.recent.oldest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(instance: u64) -> NodeId {
        NodeId::from_instance("edge".to_owned(), instance)
    }

    fn at(stream: u64, acknowledged: u64) -> Node {
        let facts = NodeProperties {
            version: String::new(),
            protocol: 1,
            staleness: 0,
            meter: String::new(),
            instance: None,
        };
        Node {
            acknowledged,
            ..Node::lost(stream, facts, 0, 0)
        }
    }

    fn progress(nodes: usize, acknowledged: usize, lost: usize) -> Progress {
        Progress {
            nodes,
            acknowledged,
            lost,
            unknown: false,
        }
    }

    #[test]
    fn nodes_are_counted_by_acknowledged_revision() {
        let mut nodes = Nodes::default();
        for (instance, acknowledged) in [(1, 5), (2, 5), (3, 7)] {
            nodes.insert(id(instance), at(instance, acknowledged));
        }

        assert_eq!((nodes.progress(5), nodes.oldest()), (progress(3, 3, 0), 5));
        assert_eq!(nodes.progress(6), progress(3, 1, 2));
        assert!(nodes.change(&id(1), 1, |node| node.acknowledged = 8));
        assert_eq!((nodes.progress(6), nodes.oldest()), (progress(3, 2, 1), 5));

        // A newer stream replaces an older one, which then changes nothing.
        nodes.insert(id(2), at(4, 6));
        assert!(!nodes.change(&id(2), 2, |node| node.acknowledged = 9));
        assert_eq!((nodes.progress(6), nodes.oldest()), (progress(3, 3, 0), 6));

        for instance in 1..=3 {
            nodes.remove(&id(instance));
        }

        assert_eq!(
            (nodes.progress(1), nodes.oldest()),
            (progress(0, 0, 0), u64::MAX)
        );
        assert!(nodes.recent.0.is_empty());
    }

    #[test]
    fn lost_nodes_count_without_waiting() {
        let mut nodes = Nodes::default();
        nodes.insert(id(1), at(1, 5));
        nodes.insert(id(2), at(2, 6));
        assert!(nodes.change(&id(1), 1, |node| node.grace_over = true));
        assert_eq!((nodes.progress(6), nodes.oldest()), (progress(2, 1, 1), 6));
        assert!(!nodes.progress(6).complete());
        assert!(
            nodes.progress(5).complete(),
            "it decides by that since before it was lost"
        );
    }

    #[test]
    fn unknown_nodes_count_as_one() {
        let mut nodes = Nodes {
            unknown_until: Some(9),
            ..Nodes::default()
        };
        let expected = Progress {
            nodes: 1,
            acknowledged: 0,
            lost: 1,
            unknown: true,
        };

        assert_eq!(
            (nodes.progress(1), nodes.progress(1).complete()),
            (expected, false)
        );

        nodes.insert(id(1), at(1, 5));
        assert_eq!(
            (
                nodes.progress(5).nodes,
                nodes.progress(5).acknowledged,
                nodes.progress(5).lost
            ),
            (2, 1, 1)
        );
    }
}
