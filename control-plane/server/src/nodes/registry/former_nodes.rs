//! Nodes of version 0.1 that are no longer counted.

use std::collections::VecDeque;

use super::NodeId;
use crate::nodes::hello::NodeProperties;

/// The maximum number of nodes of version 0.1 that are kept after they no longer count.
const MAX_FORMER: usize = 1_000;

/// Nodes of version 0.1 after their grace period, the newest last. They may serve without a time
/// limit, so a refused one counts again. They are not stored, so they are unknown after a restart.
#[derive(Default)]
pub(super) struct FormerNodes(VecDeque<(NodeId, NodeProperties)>);

impl FormerNodes {
    /// Adds a node. If there are too many, the oldest is forgotten.
    pub(super) fn remember(&mut self, id: NodeId, facts: NodeProperties) {
        self.take(&id);
        if self.0.len() >= MAX_FORMER {
            self.0.pop_front();
        }
        self.0.push_back((id, facts));
    }

    /// Removes a node, and returns its properties if it was known.
    pub(super) fn take(&mut self, id: &NodeId) -> Option<NodeProperties> {
        let at = self.0.iter().position(|(other, _)| other == id)?;
        self.0.remove(at).map(|(_, facts)| facts)
    }
}
