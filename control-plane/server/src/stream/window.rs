//! Which batches of a stream are unacknowledged, what an acknowledgement is worth, and how much the
//! link carries.

use latchkey_protocol::Ack;
use latchkey_store::CHUNK_LEN;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// Batches that may be unacknowledged at a time. A node may get them all at once, and its requests
/// wait meanwhile.
pub(super) const WINDOW: usize = 4;

/// Bytes of unacknowledged records at first, at least and at most.
const FIRST: usize = 16 * 1024;
const LEAST: usize = 4 * 1024;
const MOST: usize = WINDOW * CHUNK_LEN;

/// A batch that is acknowledged within this time could have been larger.
const QUICK: Duration = Duration::from_millis(250);

/// A batch that takes longer should have been smaller: what is in flight is to be there within 2
/// seconds.
const SLOW: Duration = Duration::from_secs(1);

/// A stream without an acknowledgement ends after this time, and what a link of [`SLOWEST`] takes
/// for the batch.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);

/// Bytes a second.
const SLOWEST: u64 = 2_048;

struct InFlight {
    sequence: u64,
    /// What the batch completes, or 0.
    revision: u64,
    bytes: usize,
    at: Instant,
}

/// Sans-IO: told of what is sent and received.
pub(super) struct Window {
    sequence: u64,
    unacknowledged: VecDeque<InFlight>,
    /// Of the records in them.
    bytes: usize,
    /// Bytes that may be in flight.
    budget: usize,
    /// When an acknowledgement came last.
    progress: Option<Instant>,
    /// The newest revision that is whole in the node's memory.
    complete: u64,
}

impl Window {
    /// Of a stream that goes on from revision `complete`, or begins with a whole snapshot if that
    /// is 0.
    pub(super) fn new(complete: u64) -> Self {
        let unacknowledged = VecDeque::with_capacity(WINDOW);
        Self {
            sequence: 0,
            unacknowledged,
            bytes: 0,
            budget: FIRST,
            progress: None,
            complete,
        }
    }

    /// Whether another batch may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.unacknowledged.is_empty()
            || (self.unacknowledged.len() < WINDOW && self.bytes < self.budget)
    }

    /// Bytes that the next batch may have.
    pub(super) fn batch_bytes(&self) -> usize {
        self.budget / WINDOW
    }

    /// A batch goes out that completes `revision`, or none if that is 0. Returns its sequence.
    pub(super) fn sent(&mut self, revision: u64, bytes: usize, at: Instant) -> u64 {
        self.sequence += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.unacknowledged.push_back(InFlight {
            sequence: self.sequence,
            revision,
            bytes,
            at,
        });
        self.sequence
    }

    /// When the oldest unacknowledged batch is overdue. Acknowledgements of others before it put
    /// that off.
    pub(super) fn overdue(&self) -> Option<Instant> {
        let oldest = self.unacknowledged.front()?;
        let since = self
            .progress
            .map_or(oldest.at, |progress| progress.max(oldest.at));
        let bytes = u64::try_from(oldest.bytes).unwrap_or(u64::MAX);
        Some(since + PROGRESS_WITHIN + Duration::from_secs(bytes / SLOWEST))
    }

    /// Returns the revision that the node decides by, as far as this stream can vouch for it: until
    /// it has completed a revision of ours, a node that still serves from another history names
    /// revisions of that one.
    pub(super) fn acknowledge(&mut self, ack: Ack, now: Instant) -> Result<u64, Status> {
        if ack.sequence > self.sequence {
            return Err(Status::invalid_argument(
                "Ack names a batch that was not sent",
            ));
        }
        while let Some(sent) = self
            .unacknowledged
            .pop_front_if(|sent| sent.sequence <= ack.sequence)
        {
            self.complete = self.complete.max(sent.revision);
            self.bytes = self.bytes.saturating_sub(sent.bytes);
            self.progress = Some(now);
            self.adapt(&sent, now.saturating_duration_since(sent.at));
        }
        Ok(ack.revision.min(self.complete))
    }

    /// Adapts to how long a batch took. Small ones say nothing about how much the link carries.
    fn adapt(&mut self, sent: &InFlight, took: Duration) {
        if took > SLOW {
            self.budget = (self.budget / 2).max(LEAST);
        } else if took < QUICK && sent.bytes.saturating_mul(2 * WINDOW) >= self.budget {
            self.budget = self.budget.saturating_mul(2).min(MOST);
        }
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
            assert_eq!(window.sent(0, 10, start), sequence);
        }
        assert!(!window.is_open());
        window.acknowledge(ack(2, 0), start).unwrap();
        assert!(window.is_open());
        assert_eq!(window.overdue(), Some(start + PROGRESS_WITHIN));
        window.acknowledge(ack(WINDOW as u64, 0), start).unwrap();
        assert_eq!(window.overdue(), None);
    }

    #[test]
    fn limit_of_ten_seconds_counts_progress_and_size() {
        let mut window = Window::new(0);
        let start = Instant::now();
        window.sent(0, 10, start);
        window.sent(0, 20 * 2_048, start);
        let later = start + Duration::from_secs(9);
        window.acknowledge(ack(1, 0), later).unwrap();
        assert_eq!(window.overdue(), Some(later + Duration::from_secs(30)));
    }

    /// Over a link of so many bytes a second, without a delay of its own.
    fn longest_in_flight(bytes_a_second: f64) -> (Duration, usize) {
        let mut window = Window::new(0);
        let mut now = Instant::now();
        let mut free_at = now;
        let mut arrivals = VecDeque::new();
        let mut longest = Duration::ZERO;
        for round in 0..400 {
            while window.is_open() {
                let bytes = window.batch_bytes();
                free_at = free_at.max(now) + Duration::from_secs_f64(bytes as f64 / bytes_a_second);
                arrivals.push_back((window.sent(0, bytes, now), free_at));
                if round > 40 {
                    longest = longest.max(free_at - now);
                }
            }
            let (sequence, at) = arrivals.pop_front().unwrap();
            now = at;
            window.acknowledge(ack(sequence, 0), now).unwrap();
        }
        (longest, window.budget)
    }

    #[test]
    fn bytes_in_flight_take_two_seconds_at_most() {
        for bytes_a_second in [3e3, 5e3, 20e3, 60e3, 1e6] {
            let (longest, budget) = longest_in_flight(bytes_a_second);
            assert!(
                longest < Duration::from_secs(2),
                "{bytes_a_second}: {longest:?} {budget}"
            );
        }
        assert_eq!(longest_in_flight(1e9).1, MOST);
    }

    #[test]
    fn quick_small_batches_do_not_widen_it() {
        let mut window = Window::new(0);
        let start = Instant::now();
        for _ in 0..20 {
            let sequence = window.sent(0, 200, start);
            window.acknowledge(ack(sequence, 0), start).unwrap();
        }
        assert_eq!(window.budget, FIRST);
    }

    #[test]
    fn a_revision_counts_once_the_batch_that_completes_it_is_acknowledged() {
        let mut window = Window::new(0);
        let now = Instant::now();
        window.sent(0, 10, now);
        window.sent(12, 10, now);
        assert_eq!(window.acknowledge(ack(1, 0), now).unwrap(), 0);
        assert_eq!(window.acknowledge(ack(2, 12), now).unwrap(), 12);
    }

    #[test]
    fn revisions_of_another_history_do_not_count() {
        let mut window = Window::new(0);
        let now = Instant::now();
        window.sent(0, 10, now);
        window.sent(12, 10, now);
        assert_eq!(window.acknowledge(ack(1, 500), now).unwrap(), 0);
        assert_eq!(window.acknowledge(ack(2, 12), now).unwrap(), 12);
    }

    #[test]
    fn workers_can_follow_after_the_memory() {
        let mut window = Window::new(7);
        let now = Instant::now();
        window.sent(8, 10, now);
        assert_eq!(window.acknowledge(ack(1, 7), now).unwrap(), 7);
        assert_eq!(window.acknowledge(ack(1, 8), now).unwrap(), 8);
    }

    #[test]
    fn what_was_not_sent_cannot_be_acknowledged() {
        let mut window = Window::new(7);
        assert_eq!(
            window
                .acknowledge(ack(1, 7), Instant::now())
                .unwrap_err()
                .code(),
            Code::InvalidArgument
        );
    }
}
