//! The nodes in memory, and how many have acknowledged what.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::SocketAddr;
use tokio::sync::oneshot;

use super::NodeId;
use crate::usage::Mailbox;

/// How far a revision has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) nodes: usize,
    pub(crate) acknowledged: usize,
}

/// One that may be deciding requests.
pub(super) struct Node {
    /// Which of the node's streams this is; one more for each.
    pub(super) stream: u64,
    pub(super) version: String,
    pub(super) since: i64,
    pub(super) acknowledged: u64,
    pub(super) remote: Option<SocketAddr>,
    /// None: lost.
    pub(super) line: Option<Line>,
    /// The table has it.
    pub(super) written: bool,
}

/// The way to an open stream.
pub(super) struct Line {
    /// Dropped with the entry, which tells the stream that it has been replaced.
    pub(super) _replaced: oneshot::Sender<()>,
    pub(super) mailbox: Mailbox,
}

/// All of them.
#[derive(Default)]
pub(super) struct Nodes {
    by_id: HashMap<NodeId, Node>,
    /// How many nodes have acknowledged which revision, so that nobody has to ask all of them.
    acknowledged: BTreeMap<u64, usize>,
    streams: u64,
}

impl Nodes {
    pub(super) fn get(&self, id: &NodeId) -> Option<&Node> {
        self.by_id.get(id)
    }

    /// The table has the node with that version.
    pub(super) fn written(&mut self, id: &NodeId, version: &str) {
        if let Some(node) = self.by_id.get_mut(id) {
            node.written = node.version == version;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Node)> {
        self.by_id.iter()
    }

    /// A number that no stream had before.
    pub(super) fn new_stream(&mut self) -> u64 {
        self.streams = self.streams.saturating_add(1);
        self.streams
    }

    /// How many there are, and how many of them have acknowledged `revision`.
    pub(super) fn progress(&self, revision: u64) -> Progress {
        let acknowledged = self.acknowledged.range(revision..).map(|(_, count)| count).sum();
        Progress { nodes: self.by_id.len(), acknowledged }
    }

    pub(super) fn insert(&mut self, id: NodeId, node: Node) {
        self.remove(&id);
        self.count(node.acknowledged);
        self.by_id.insert(id, node);
    }

    pub(super) fn remove(&mut self, id: &NodeId) {
        if let Some(node) = self.by_id.remove(id) {
            self.discount(node.acknowledged);
        }
    }

    /// Runs `change` on the node, if `stream` is still its newest.
    pub(super) fn change(&mut self, id: &NodeId, stream: u64, change: impl FnOnce(&mut Node)) -> bool {
        let Some(node) = self.by_id.get_mut(id).filter(|node| node.stream == stream) else { return false };
        let before = node.acknowledged;
        change(node);
        let after = node.acknowledged;
        if before != after {
            self.discount(before);
            self.count(after);
        }
        true
    }

    fn count(&mut self, acknowledged: u64) {
        let count = self.acknowledged.entry(acknowledged).or_default();
        *count = count.saturating_add(1);
    }

    fn discount(&mut self, acknowledged: u64) {
        if let Entry::Occupied(mut count) = self.acknowledged.entry(acknowledged) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// The oldest revision that one of them decides by; the highest number if there is none.
    pub(super) fn oldest(&self) -> u64 {
        self.acknowledged.first_key_value().map_or(u64::MAX, |(revision, _)| *revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(instance: u64) -> NodeId {
        NodeId { node_id: "edge".to_owned(), instance }
    }

    fn at(stream: u64, acknowledged: u64) -> Node {
        Node { stream, version: String::new(), since: 0, acknowledged, remote: None, line: None, written: false }
    }

    #[test]
    fn what_is_counted_is_what_each_node_has_acknowledged() {
        let mut nodes = Nodes::default();
        for (instance, acknowledged) in [(1, 5), (2, 5), (3, 7)] {
            nodes.insert(id(instance), at(instance, acknowledged));
        }
        assert_eq!((nodes.progress(5), nodes.oldest()), (Progress { nodes: 3, acknowledged: 3 }, 5));
        assert_eq!(nodes.progress(6), Progress { nodes: 3, acknowledged: 1 });
        assert!(nodes.change(&id(1), 1, |node| node.acknowledged = 8));
        assert_eq!((nodes.progress(6), nodes.oldest()), (Progress { nodes: 3, acknowledged: 2 }, 5));
        // A newer stream takes the place of an older one, which changes nothing any more.
        nodes.insert(id(2), at(4, 6));
        assert!(!nodes.change(&id(2), 2, |node| node.acknowledged = 9));
        assert_eq!((nodes.progress(6), nodes.oldest()), (Progress { nodes: 3, acknowledged: 3 }, 6));
        (1..=3).for_each(|instance| nodes.remove(&id(instance)));
        assert_eq!((nodes.progress(1), nodes.oldest()), (Progress { nodes: 0, acknowledged: 0 }, u64::MAX));
        assert!(nodes.acknowledged.is_empty());
    }
}
