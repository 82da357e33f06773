//! Acknowledgements of nodes whose record format cannot name ended owners.
//!
//! A deleted user with many keys is named in the route rules' record until all of the keys are
//! removed. A record in format 3 has no field for that: such a node refuses each key only once it
//! is removed. So while keys are left, the node's acknowledgements count only up to the revision
//! before the deletion, and calls that wait for it return the true progress.

use latchkey_policy::settings::SettingsRecord;
use std::collections::VecDeque;

/// The revisions that were sent to the node.
pub(super) struct EndedOwners {
    /// True if the node reads a record that names ended owners.
    known: bool,
    /// The sent revisions from the newest acknowledged one on. The second number is the revision
    /// since which keys of ended owners are refused, if not all of these keys are removed yet.
    sent: VecDeque<(u64, Option<u64>)>,
}

impl EndedOwners {
    pub(super) fn for_format(format: u32) -> Self {
        Self {
            known: format >= SettingsRecord::ENDED_OWNERS_FORMAT,
            sent: VecDeque::new(),
        }
    }

    pub(super) fn are_unknown(&self) -> bool {
        !self.known
    }

    /// Notes a revision that is about to be sent.
    pub(super) fn record_sent(&mut self, completed: Option<(u64, Option<u64>)>) {
        if !self.known {
            self.sent.extend(completed);
        }
    }

    /// Returns the newest revision that is in force at a node that has acknowledged `revision`.
    pub(super) fn in_force(&mut self, revision: u64) -> u64 {
        while self.sent.get(1).is_some_and(|(next, _)| *next <= revision) {
            self.sent.pop_front();
        }
        match self.sent.front() {
            Some((sent, Some(since))) if *sent <= revision => revision.min(since.saturating_sub(1)),
            _ => revision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_3_node_acknowledges_after_last_key() {
        let mut ended = EndedOwners::for_format(3);
        for completed in [
            (4, None),
            (5, Some(5)),
            (6, Some(5)),
            (8, Some(5)),
            (9, Some(7)),
            (10, None),
        ] {
            ended.record_sent(Some(completed));
        }

        let in_force = [0, 4, 5, 6, 7, 8, 9, 10, 11].map(|revision| ended.in_force(revision));
        assert_eq!(in_force, [0, 4, 4, 4, 4, 4, 6, 10, 11]);
        assert_eq!(ended.sent.len(), 1);
    }

    #[test]
    fn format_4_acknowledges_deletion_at_once() {
        let mut ended = EndedOwners::for_format(4);
        ended.record_sent(Some((5, Some(5))));
        assert_eq!((ended.in_force(5), ended.sent.len()), (5, 0));
    }
}
