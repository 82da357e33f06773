//! A fair queue. Every party has its own line, and lines take turns. A party with many requests
//! delays only itself.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The maximum number of waiting requests of one party.
pub(super) const PER_PARTY: usize = 16;

/// The maximum number of waiting requests of each rank.
pub(super) const PER_RANK: usize = 512;

/// While both ranks wait, one of this number of turns goes to the second.
const TURNS: u32 = 4;

/// The priority of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Callers who have shown a credential, and clients that have logged in to the same user
    /// before. They have priority.
    Known,
    /// All other clients.
    Unknown,
}

/// A queue with two ranks.
pub(super) struct Queue<P, T> {
    known: Lines<P, T>,
    unknown: Lines<P, T>,
    /// The number of turns at which both ranks waited.
    contested: u32,
    next_id: u64,
}

impl<P: Clone + Eq + Hash, T> Queue<P, T> {
    pub(super) fn new() -> Self {
        Self {
            known: Lines::new(),
            unknown: Lines::new(),
            contested: 0,
            next_id: 0,
        }
    }

    /// Adds a waiting request, and returns the number with which [`remove`](Self::remove) finds it.
    /// If the rank is full, the party with the most requests loses its last one. If that party
    /// would then have fewer than `party`, the new request is refused with `None`.
    pub(super) fn push(&mut self, rank: Rank, party: &P, waiting: T) -> Option<u64> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.lines(rank).push(party, id, waiting).then_some(id)
    }

    /// Removes and returns the next request.
    pub(super) fn pop(&mut self) -> Option<T> {
        let both = self.known.len > 0 && self.unknown.len > 0;
        self.contested = self.contested.wrapping_add(u32::from(both));
        let ranks = match both && self.contested.is_multiple_of(TURNS) {
            true => [Rank::Unknown, Rank::Known],
            false => [Rank::Known, Rank::Unknown],
        };
        ranks.into_iter().find_map(|rank| self.lines(rank).pop())
    }

    /// Removes a request that no longer waits.
    pub(super) fn remove(&mut self, rank: Rank, party: &P, id: u64) {
        self.lines(rank).remove(party, id);
    }

    fn lines(&mut self, rank: Rank) -> &mut Lines<P, T> {
        match rank {
            Rank::Known => &mut self.known,
            Rank::Unknown => &mut self.unknown,
        }
    }
}

/// The lines of one rank.
struct Lines<P, T> {
    /// The parties in the order of their turns.
    turns: VecDeque<P>,
    waiting: HashMap<P, VecDeque<(u64, T)>>,
    len: usize,
}

impl<P: Clone + Eq + Hash, T> Lines<P, T> {
    fn new() -> Self {
        Self {
            turns: VecDeque::new(),
            waiting: HashMap::new(),
            len: 0,
        }
    }

    fn push(&mut self, party: &P, id: u64, waiting: T) -> bool {
        let own = self.waiting.get(party).map_or(0, VecDeque::len);
        if own >= PER_PARTY || (self.len >= PER_RANK && !self.make_room(own)) {
            return false;
        }

        if own == 0 {
            self.turns.push_back(party.clone());
        }

        self.waiting
            .entry(party.clone())
            .or_default()
            .push_back((id, waiting));
        self.len = self.len.saturating_add(1);
        true
    }

    /// Removes the last request of the longest line, if that line is longer than one with `own`
    /// requests and the new one.
    fn make_room(&mut self, own: usize) -> bool {
        let longest = self.waiting.values_mut().max_by_key(|line| line.len());
        let Some(line) = longest.filter(|line| line.len() > own.saturating_add(1)) else {
            return false;
        };
        line.pop_back();
        self.len = self.len.saturating_sub(1);
        true
    }

    fn pop(&mut self) -> Option<T> {
        let party = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&party)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&party);
        } else {
            self.turns.push_back(party);
        }
        self.len = self.len.saturating_sub(1);
        next.map(|(_, waiting)| waiting)
    }

    fn remove(&mut self, party: &P, id: u64) {
        let Some(line) = self.waiting.get_mut(party) else {
            return;
        };
        let before = line.len();
        line.retain(|(other, _)| *other != id);
        self.len = self.len.saturating_sub(before.saturating_sub(line.len()));
        if line.is_empty() {
            self.waiting.remove(party);
            self.turns.retain(|other| other != party);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(
        queue: &mut Queue<u32, &'static str>,
        rank: Rank,
        party: u32,
        waiting: &'static str,
    ) -> Option<u64> {
        queue.push(rank, &party, waiting)
    }

    fn order(mut queue: Queue<u32, &'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn parties_take_turns() {
        let mut queue = Queue::new();
        for (party, waiting) in [
            (1, "a1"),
            (1, "a2"),
            (1, "a3"),
            (2, "b1"),
            (3, "c1"),
            (2, "b2"),
        ] {
            push(&mut queue, Rank::Unknown, party, waiting).unwrap();
        }

        assert_eq!(order(queue), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn known_parties_come_first() {
        let mut queue = Queue::new();
        for party in 0..3 {
            push(&mut queue, Rank::Unknown, party, "unknown").unwrap();
        }

        for party in 0..5 {
            push(&mut queue, Rank::Known, party, "known").unwrap();
        }

        let expected = [
            "known", "known", "known", "unknown", "known", "known", "unknown", "unknown",
        ];
        assert_eq!(order(queue), expected);
    }

    #[test]
    fn party_fills_its_own_line_alone() {
        let mut queue = Queue::new();
        let places = (0..100)
            .filter(|_| push(&mut queue, Rank::Unknown, 1, "a").is_some())
            .count();
        assert_eq!(places, PER_PARTY);
        push(&mut queue, Rank::Unknown, 2, "b").expect("others wait beside it");
        assert_eq!(queue.pop().zip(queue.pop()), Some(("a", "b")));
    }

    #[test]
    fn newcomer_replaces_the_longest_lines_request() {
        let mut queue = Queue::new();
        for party in 0..32 {
            for _ in 0..16 {
                push(&mut queue, Rank::Unknown, party, "greedy").unwrap();
            }
        }
        push(&mut queue, Rank::Unknown, 100, "new").expect("somebody gives up a place");
        assert_eq!(queue.unknown.len, PER_RANK);
        let position = order(queue).iter().position(|waiting| *waiting == "new");
        assert_eq!(position, Some(32), "it waits for one turn of each");

        let mut queue = Queue::new();
        for party in 0..512 {
            push(&mut queue, Rank::Unknown, party, "one").unwrap();
        }
        assert_eq!(
            push(&mut queue, Rank::Unknown, 1_000, "new"),
            None,
            "nobody has more than it would have"
        );
        push(&mut queue, Rank::Known, 1_000, "known").expect("the ranks have places of their own");
    }

    #[test]
    fn removed_requests_free_their_places() {
        let mut queue = Queue::new();
        let ids: Vec<_> = (0..16)
            .map(|_| push(&mut queue, Rank::Unknown, 1, "a").unwrap())
            .collect();
        push(&mut queue, Rank::Unknown, 2, "b").unwrap();

        for id in ids {
            queue.remove(Rank::Unknown, &1, id);
        }

        queue.remove(Rank::Unknown, &1, 7);
        assert_eq!((queue.unknown.len, queue.unknown.turns.len()), (1, 1));
        assert!(push(&mut queue, Rank::Unknown, 1, "again").is_some());
        assert_eq!(order(queue), ["b", "again"]);
    }
}
