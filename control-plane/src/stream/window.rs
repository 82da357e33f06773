//! Which batches of a stream are unacknowledged, and what an acknowledgement is worth.

use latchkey_protocol::Ack;
use std::collections::VecDeque;
use tokio::time::Instant;
use tonic::Status;

/// Batches that may be unacknowledged at a time. A node may get them all at once, and its requests wait meanwhile.
pub(super) const WINDOW: usize = 4;

struct Sent {
    sequence: u64,
    /// What the batch completes, or 0.
    revision: u64,
    at: Instant,
}

/// Sans-IO: told of what is sent and received.
pub(super) struct Window {
    sequence: u64,
    unacknowledged: VecDeque<Sent>,
    /// The newest revision that is whole in the node's memory.
    complete: u64,
}

impl Window {
    /// Of a stream that goes on from revision `complete`, or begins with a whole snapshot if that is 0.
    pub(super) fn new(complete: u64) -> Self {
        Self { sequence: 0, unacknowledged: VecDeque::with_capacity(WINDOW), complete }
    }

    /// Whether another batch may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.unacknowledged.len() < WINDOW
    }

    /// A batch goes out that completes `revision`, or none if that is 0. Returns its sequence.
    pub(super) fn sent(&mut self, revision: u64, at: Instant) -> u64 {
        self.sequence += 1;
        self.unacknowledged.push_back(Sent { sequence: self.sequence, revision, at });
        self.sequence
    }

    /// Since when the oldest unacknowledged batch has been under way.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.unacknowledged.front().map(|sent| sent.at)
    }

    /// Returns the revision that the node decides by, as far as this stream can vouch for it: until it has
    /// completed a revision of ours, a node that still serves from another history names revisions of that one.
    pub(super) fn acknowledge(&mut self, ack: Ack) -> Result<u64, Status> {
        if ack.sequence > self.sequence {
            return Err(Status::invalid_argument("Ack names a batch that was not sent"));
        }
        while let Some(sent) = self.unacknowledged.pop_front_if(|sent| sent.sequence <= ack.sequence) {
            self.complete = self.complete.max(sent.revision);
        }
        Ok(ack.revision.min(self.complete))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn ack(sequence: u64, revision: u64) -> Ack {
        Ack { sequence, revision }
    }

    #[test]
    fn it_closes_at_the_limit_and_opens_with_an_acknowledgement() {
        let mut window = Window::new(0);
        let start = Instant::now();
        for sequence in 1..=WINDOW as u64 {
            assert!(window.is_open());
            assert_eq!(window.sent(0, start), sequence);
        }
        assert!(!window.is_open());
        window.acknowledge(ack(2, 0)).unwrap();
        assert!(window.is_open());
        assert_eq!(window.oldest(), Some(start));
        window.acknowledge(ack(WINDOW as u64, 0)).unwrap();
        assert_eq!(window.oldest(), None);
    }

    #[test]
    fn a_revision_counts_once_the_batch_that_completes_it_is_acknowledged() {
        let mut window = Window::new(0);
        window.sent(0, Instant::now());
        window.sent(12, Instant::now());
        assert_eq!(window.acknowledge(ack(1, 0)).unwrap(), 0);
        assert_eq!(window.acknowledge(ack(2, 12)).unwrap(), 12);
    }

    #[test]
    fn revisions_of_another_history_do_not_count() {
        let mut window = Window::new(0);
        window.sent(0, Instant::now());
        window.sent(12, Instant::now());
        assert_eq!(window.acknowledge(ack(1, 500)).unwrap(), 0);
        assert_eq!(window.acknowledge(ack(2, 12)).unwrap(), 12);
    }

    #[test]
    fn workers_can_follow_after_the_memory() {
        let mut window = Window::new(7);
        window.sent(8, Instant::now());
        assert_eq!(window.acknowledge(ack(1, 7)).unwrap(), 7);
        assert_eq!(window.acknowledge(ack(1, 8)).unwrap(), 8);
    }

    #[test]
    fn what_was_not_sent_cannot_be_acknowledged() {
        let mut window = Window::new(7);
        assert_eq!(window.acknowledge(ack(1, 7)).unwrap_err().code(), Code::InvalidArgument);
    }
}
