//! Confirmations that a node is current: each Alive message is answered once everything is sent
//! that was committed when it arrived. Also measures the node's clock.

use latchkey_protocol::Alive;
use std::collections::VecDeque;

/// The maximum number of unanswered Alive messages. A node sends one a second.
const WAITING: usize = 16;

/// The number of recent clock differences that are kept.
const RECENT: usize = 16;

/// The unanswered Alive messages. Sans-IO: the caller passes in the events.
#[derive(Default)]
pub(super) struct Contact {
    /// The time that the node sent, and the newest revision at the arrival.
    waiting: VecDeque<(u64, u64)>,
}

impl Contact {
    /// Notes an Alive message that arrived while `newest` was the newest revision.
    pub(super) fn heard(&mut self, alive: &Alive, newest: u64) {
        if self.waiting.len() >= WAITING {
            // Replaces the newest one, because the oldest is answered first.
            self.waiting.pop_back();
        }
        self.waiting.push_back((alive.sent, newest));
    }

    /// Returns the time to echo to the node, once everything up to `position` is sent.
    pub(super) fn answer(&mut self, position: u64) -> Option<u64> {
        let mut answer = None;
        while let Some((sent, _)) = self.waiting.pop_front_if(|(_, newest)| *newest <= position) {
            answer = Some(sent);
        }
        answer
    }
}

/// Measures the lead of a node's clock. A reported time is old when it arrives, so the largest of
/// some differences is the most accurate.
#[derive(Default)]
pub(super) struct Skew(VecDeque<i64>);

impl Skew {
    /// Adds a measurement and returns the most accurate lead, in milliseconds.
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
    fn alive_is_answered_during_pending_changes() {
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
