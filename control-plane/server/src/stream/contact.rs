//! What a node may know of being current: an answer to each sign of life, once everything is sent
//! that was committed when it came. And what its clock says.

use latchkey_protocol::Alive;
use std::collections::VecDeque;

/// Signs of life that wait for an answer. A node sends one a second.
const WAITING: usize = 16;

/// Differences of the clock that are remembered.
const RECENT: usize = 16;

/// Sans-IO: told of what is received.
#[derive(Default)]
pub(super) struct Contact {
    /// What the node said, and the revision that was the newest then.
    waiting: VecDeque<(u64, u64)>,
}

impl Contact {
    /// The node is alive while `newest` is the newest revision.
    pub(super) fn heard(&mut self, alive: &Alive, newest: u64) {
        if self.waiting.len() >= WAITING {
            // The oldest is answered first.
            self.waiting.pop_back();
        }
        self.waiting.push_back((alive.sent, newest));
    }

    /// Everything up to `position` is sent: what to repeat to the node.
    pub(super) fn answer(&mut self, position: u64) -> Option<u64> {
        let mut answer = None;
        while let Some((sent, _)) = self.waiting.pop_front_if(|(_, newest)| *newest <= position) {
            answer = Some(sent);
        }
        answer
    }
}

/// By how much a node's clock is ahead. What it says is old when it arrives, so of some differences
/// the largest is the closest.
#[derive(Default)]
pub(super) struct Skew(VecDeque<i64>);

impl Skew {
    /// Takes one in, in milliseconds, and returns the closest.
    pub(super) fn observe(&mut self, theirs: i64, ours: i64) -> i64 {
        if self.0.len() >= RECENT {
            self.0.pop_front();
        }
        self.0.push_back(theirs.saturating_sub(ours));
        self.0.iter().copied().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(sent: u64) -> Alive {
        Alive {
            sent,
            unix_millis: 0,
        }
    }

    #[test]
    fn alive_is_answered_behind_pending_changes() {
        let mut contact = Contact::default();
        contact.heard(&alive(100), 5);
        assert_eq!(contact.answer(4), None);
        contact.heard(&alive(200), 7);
        assert_eq!(
            contact.answer(6),
            Some(100),
            "a later one does not keep it from that"
        );
        contact.heard(&alive(300), 7);
        assert_eq!(contact.answer(7), Some(300));
        assert_eq!(contact.answer(8), None);
        (0..100).for_each(|sent| contact.heard(&alive(sent), 9));
        assert_eq!(contact.waiting.len(), WAITING);
        assert_eq!(contact.waiting.front(), Some(&(0, 9)));
    }

    #[test]
    fn delays_are_not_taken_for_skew() {
        let mut skew = Skew::default();
        assert_eq!(skew.observe(90_000, 100_000), -10_000);
        assert_eq!(skew.observe(100_900, 101_000), -100);
        assert_eq!(skew.observe(90_000, 102_000), -100);
        (0..RECENT).for_each(|_| {
            skew.observe(90_000, 110_000);
        });
        assert_eq!(skew.observe(90_000, 110_000), -20_000);
    }
}
