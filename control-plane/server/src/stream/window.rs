//! The unacknowledged batches of a stream, the meaning of an acknowledgement, and the capacity of
//! the link.

use latchkey_protocol::Ack;
use latchkey_store::CHUNK_LEN;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// The maximum number of unacknowledged batches. A node may receive them all at once, and its
/// requests wait until they are applied.
pub(super) const WINDOW: usize = 4;

/// The initial, minimum and maximum number of unacknowledged bytes of records.
const FIRST_BUDGET: usize = 16 * 1024;
const MIN_BUDGET: usize = 4 * 1024;
const MAX_BUDGET: usize = WINDOW * CHUNK_LEN;

/// If a batch is acknowledged within this time, the next ones can be larger.
const QUICK: Duration = Duration::from_millis(250);

/// If a batch takes longer, the next ones must be smaller: everything in flight should arrive
/// within 2 seconds.
const SLOW: Duration = Duration::from_secs(1);

/// The time without an acknowledgement after which a stream ends, in addition to the time that a
/// link of [`SLOWEST`] takes for the batch.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);

/// The slowest supported link, in bytes a second.
const SLOWEST: u64 = 2_048;

struct InFlight {
    sequence: u64,
    /// The revision that the batch completes, or 0.
    revision: u64,
    bytes: usize,
    at: Instant,
}

/// The flow control of a stream. Sans-IO: the caller passes in the events.
pub(super) struct Window {
    sequence: u64,
    unacknowledged: VecDeque<InFlight>,
    /// The length of the unacknowledged records, in bytes.
    bytes: usize,
    /// The maximum number of bytes in flight.
    budget: usize,
    /// The time of the last acknowledgement.
    progress: Option<Instant>,
    /// The newest revision that the node has completely.
    complete: u64,
}

impl Window {
    /// Returns the window of a stream that resumes from revision `complete`, or that begins with a
    /// whole snapshot if `complete` is 0.
    pub(super) fn new(complete: u64) -> Self {
        let unacknowledged = VecDeque::with_capacity(WINDOW);
        Self {
            sequence: 0,
            unacknowledged,
            bytes: 0,
            budget: FIRST_BUDGET,
            progress: None,
            complete,
        }
    }

    /// Returns whether another batch may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.unacknowledged.is_empty()
            || (self.unacknowledged.len() < WINDOW && self.bytes < self.budget)
    }

    /// Returns the maximum length of the next batch, in bytes.
    pub(super) fn batch_bytes(&self) -> usize {
        self.budget / WINDOW
    }

    /// Notes a sent batch that completes `revision`, or none if `revision` is 0. Returns its
    /// sequence.
    pub(super) fn record_sent(&mut self, revision: u64, bytes: usize, at: Instant) -> u64 {
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

    /// Returns the time at which the oldest unacknowledged batch is overdue. Each acknowledgement
    /// of an earlier batch postpones it.
    pub(super) fn overdue(&self) -> Option<Instant> {
        let oldest = self.unacknowledged.front()?;
        let since = self
            .progress
            .map_or(oldest.at, |progress| progress.max(oldest.at));
        let bytes = u64::try_from(oldest.bytes).unwrap_or(u64::MAX);
        Some(since + PROGRESS_WITHIN + Duration::from_secs(bytes / SLOWEST))
    }

    /// Returns the revision in force at the node, as far as this stream can guarantee it. Until a
    /// revision of ours is complete, a node that still serves from another history acknowledges
    /// that history's revisions.
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

    /// Adapts the budget to the time that a batch took. Small batches do not show the link's
    /// capacity.
    fn adapt(&mut self, sent: &InFlight, took: Duration) {
        if took > SLOW {
            self.budget = (self.budget / 2).max(MIN_BUDGET);
        } else if took < QUICK && sent.bytes.saturating_mul(2 * WINDOW) >= self.budget {
            self.budget = self.budget.saturating_mul(2).min(MAX_BUDGET);
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
    fn ack_reopens_a_full_window() {
        let mut window = Window::new(0);
        let start = Instant::now();
        for sequence in 1..=WINDOW as u64 {
            assert!(window.is_open());
            assert_eq!(window.record_sent(0, 10, start), sequence);
        }

        assert!(!window.is_open());
        window.acknowledge(ack(2, 0), start).unwrap();
        assert!(window.is_open());
        assert_eq!(window.overdue(), Some(start + PROGRESS_WITHIN));

        window.acknowledge(ack(WINDOW as u64, 0), start).unwrap();
        assert_eq!(window.overdue(), None);
    }

    #[test]
    fn overdue_time_counts_progress_and_size() {
        let mut window = Window::new(0);
        let start = Instant::now();
        window.record_sent(0, 10, start);
        window.record_sent(0, 20 * 2_048, start);
        let later = start + Duration::from_secs(9);
        window.acknowledge(ack(1, 0), later).unwrap();
        assert_eq!(window.overdue(), Some(later + Duration::from_secs(30)));
    }

    /// Returns the longest time in flight and the final budget, for a link of this capacity without
    /// latency.
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
                arrivals.push_back((window.record_sent(0, bytes, now), free_at));
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
    fn bytes_in_flight_take_two_seconds() {
        for bytes_a_second in [3e3, 5e3, 20e3, 60e3, 1e6] {
            let (longest, budget) = longest_in_flight(bytes_a_second);
            assert!(
                longest < Duration::from_secs(2),
                "{bytes_a_second}: {longest:?} {budget}"
            );
        }
        assert_eq!(longest_in_flight(1e9).1, MAX_BUDGET);
    }

    #[test]
    fn quick_small_batches_keep_the_budget() {
        let mut window = Window::new(0);
        let start = Instant::now();
        for _ in 0..20 {
            let sequence = window.record_sent(0, 200, start);
            window.acknowledge(ack(sequence, 0), start).unwrap();
        }
        assert_eq!(window.budget, FIRST_BUDGET);
    }

    #[test]
    fn revision_counts_after_its_last_ack() {
        let mut window = Window::new(0);
        let now = Instant::now();
        window.record_sent(0, 10, now);
        window.record_sent(12, 10, now);
        assert_eq!(window.acknowledge(ack(1, 0), now).unwrap(), 0);
        assert_eq!(window.acknowledge(ack(2, 12), now).unwrap(), 12);
    }

    #[test]
    fn foreign_revisions_do_not_count() {
        let mut window = Window::new(0);
        let now = Instant::now();
        window.record_sent(0, 10, now);
        window.record_sent(12, 10, now);
        assert_eq!(window.acknowledge(ack(1, 500), now).unwrap(), 0);
        assert_eq!(window.acknowledge(ack(2, 12), now).unwrap(), 12);
    }

    #[test]
    fn revision_counts_once_workers_follow() {
        let mut window = Window::new(7);
        let now = Instant::now();
        window.record_sent(8, 10, now);
        assert_eq!(window.acknowledge(ack(1, 7), now).unwrap(), 7);
        assert_eq!(window.acknowledge(ack(1, 8), now).unwrap(), 8);
    }

    #[test]
    fn unsent_batch_cannot_be_acknowledged() {
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
