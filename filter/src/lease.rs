//! Which worker of an Envoy holds the stream: a lease in one shared cell.
//!
//! The holder renews the lease at every tick; a lease that was not renewed for [`EXPIRY`] is anybody's. A holder whose
//! stream ends gives the lease back with a time before which nobody tries again, so that the back-off is one for the
//! whole Envoy, and the next to try may be another worker. Each new holder gets a higher term, which keeps a
//! predecessor that was only asleep from writing (`latchkey_policy::table`).

use crate::host::Nanos;
use latchkey_policy::cells::{CellError, Cells, Expect};

const CELL: &str = "lease";
const MILLISECOND: Nanos = 1_000_000;

/// How long a lease lives without being renewed.
pub const EXPIRY: Nanos = 3_000 * MILLISECOND;

/// The longest wait between two attempts: a control plane that is back is found within a second.
const MAX_BACKOFF: Nanos = 600 * MILLISECOND;
const FIRST_BACKOFF: Nanos = 100 * MILLISECOND;

/// The cell's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    /// A worker, or 0.
    holder: u64,
    /// Grows with every holder.
    term: u32,
    /// Attempts since a stream last worked.
    failures: u32,
    renewed_at: Nanos,
    retry_at: Nanos,
    /// The last number given to a worker.
    workers: u64,
    /// When the first worker of this process came.
    instance: u64,
}

impl Lease {
    const LEN: usize = 48;

    fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let words = [
            self.holder,
            u64::from(self.term) | (u64::from(self.failures) << 32),
            self.renewed_at,
            self.retry_at,
            self.workers,
            self.instance,
        ];
        for (place, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let words: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let mut words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let holder = words.next()?;
        let [t0, t1, t2, t3, f0, f1, f2, f3] = words.next()?.to_le_bytes();
        Some(Self {
            holder,
            term: u32::from_le_bytes([t0, t1, t2, t3]),
            failures: u32::from_le_bytes([f0, f1, f2, f3]),
            renewed_at: words.next()?,
            retry_at: words.next()?,
            workers: words.next()?,
            instance: words.next()?,
        })
    }

    fn is_free(&self, now: Nanos) -> bool {
        if self.holder == 0 {
            // A clock that was set back must not keep everybody waiting.
            now >= self.retry_at || self.retry_at.saturating_sub(now) > MAX_BACKOFF
        } else {
            now.abs_diff(self.renewed_at) > EXPIRY
        }
    }
}

/// One worker's part in the election.
#[derive(Debug, Default)]
pub struct Candidate {
    /// This worker's number, once it has one.
    worker: Option<u64>,
    /// The term that this worker holds, if it does.
    term: Option<u32>,
}

/// Where a worker stands after a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Another has the lease, or it is too early to try again.
    Idle,
    /// This worker has just got it.
    Elected {
        /// Higher than all before.
        term: u32,
        /// Of this Envoy process.
        instance: u64,
    },
    /// This worker has it still.
    Holding,
    /// This worker had it, and another has it now.
    Deposed,
}

impl Candidate {
    /// Renews the lease, or tries to get it.
    pub fn tick(&mut self, cells: &impl Cells, now: Nanos) -> Result<Standing, CellError> {
        let worker = match self.worker {
            Some(worker) => worker,
            None => {
                let number = |lease: &mut Lease| {
                    lease.workers = lease.workers.saturating_add(1);
                    Some(lease.workers)
                };
                match update(cells, now, number) {
                    Ok(Some(worker)) => *self.worker.insert(worker),
                    Ok(None) | Err(CellError::Conflict) => return Ok(Standing::Idle),
                    Err(error) => return Err(error),
                }
            }
        };
        let held = self.term;
        let stood = update(cells, now, |lease| {
            if held.is_some_and(|term| lease.holder == worker && lease.term == term) {
                lease.renewed_at = now;
                return Some(Standing::Holding);
            }
            if held.is_some() || !lease.is_free(now) {
                return None;
            }
            lease.holder = worker;
            lease.term = lease.term.saturating_add(1);
            lease.renewed_at = now;
            Some(Standing::Elected { term: lease.term, instance: lease.instance })
        });
        match stood {
            Ok(Some(standing)) => {
                if let Standing::Elected { term, .. } = standing {
                    self.term = Some(term);
                }
                Ok(standing)
            }
            Ok(None) => Ok(if self.term.take().is_some() { Standing::Deposed } else { Standing::Idle }),
            // Somebody else wrote the cell just now: the next tick tells.
            Err(CellError::Conflict) if self.term.is_some() => Ok(Standing::Holding),
            Err(CellError::Conflict) => Ok(Standing::Idle),
            Err(error) => Err(error),
        }
    }

    /// Tells that the stream works, so that the next back-off begins anew.
    pub fn succeed(&self, cells: &impl Cells, now: Nanos) {
        // Lost to a faster writer, this costs one longer wait at most.
        let _ = self.if_held(cells, now, |lease| lease.failures != 0, |lease| lease.failures = 0);
    }

    /// Gives the lease back after the stream ended, to be tried for again after a back-off. False when another has it
    /// already.
    pub fn release(&mut self, cells: &impl Cells, now: Nanos) -> bool {
        let mut released = Ok(None);
        for _ in 0..4 {
            let give_back = |lease: &mut Lease| {
                lease.holder = 0;
                lease.retry_at = now.saturating_add(backoff(lease.failures, now ^ lease.instance));
                lease.failures = lease.failures.saturating_add(1);
            };
            released = self.if_held(cells, now, |_| true, give_back);
            if released != Err(CellError::Conflict) {
                break;
            }
        }
        // If it could not be given back, it expires.
        self.term = None;
        released != Ok(None)
    }

    fn if_held(
        &self,
        cells: &impl Cells,
        now: Nanos,
        and: impl FnOnce(&Lease) -> bool,
        change: impl FnOnce(&mut Lease),
    ) -> Result<Option<()>, CellError> {
        let (worker, term) = (self.worker, self.term);
        update(cells, now, |lease| {
            let held = Some(lease.holder) == worker && Some(lease.term) == term;
            (held && and(lease)).then(|| change(lease))
        })
    }
}

/// Changes the cell, unless `change` says `None`.
fn update<T>(
    cells: &impl Cells,
    now: Nanos,
    change: impl FnOnce(&mut Lease) -> Option<T>,
) -> Result<Option<T>, CellError> {
    let cell = cells.get(CELL)?;
    let first = Lease { holder: 0, term: 0, failures: 0, renewed_at: 0, retry_at: 0, workers: 0, instance: now };
    let mut lease = cell.as_ref().and_then(|cell| Lease::decode(&cell.bytes)).unwrap_or(first);
    let Some(outcome) = change(&mut lease) else { return Ok(None) };
    cells.set(CELL, &lease.encode(), Expect::unchanged(cell.as_ref()))?;
    Ok(Some(outcome))
}

/// Doubles with every failure up to a bound; the upper half of it is left to chance, so that the Envoys that lost one
/// control plane do not come back at once.
fn backoff(failures: u32, seed: u64) -> Nanos {
    let full = FIRST_BACKOFF.saturating_mul(1 << failures.min(8)).min(MAX_BACKOFF);
    let half = full / 2;
    half.saturating_add(mix(seed).checked_rem(half).unwrap_or_default())
}

/// SplitMix64's finalizer: the VM has no source of chance but the clock.
fn mix(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_policy::test_util::MemoryCells;

    const SECOND: Nanos = 1_000 * MILLISECOND;

    fn elected(candidate: &mut Candidate, cells: &MemoryCells, now: Nanos) -> Option<u32> {
        match candidate.tick(cells, now).unwrap() {
            Standing::Elected { term, .. } => Some(term),
            _ => None,
        }
    }

    #[test]
    fn the_first_to_come_holds_the_lease_for_as_long_as_it_renews() {
        let cells = MemoryCells::default();
        let (mut first, mut second) = (Candidate::default(), Candidate::default());
        assert_eq!(elected(&mut first, &cells, SECOND), Some(1));
        for tick in 1..100 {
            assert_eq!(first.tick(&cells, SECOND * tick), Ok(Standing::Holding));
            assert_eq!(second.tick(&cells, SECOND * tick), Ok(Standing::Idle));
        }
    }

    #[test]
    fn a_dead_holder_is_replaced_after_the_expiry_with_a_higher_term() {
        let cells = MemoryCells::default();
        let (mut dead, mut next) = (Candidate::default(), Candidate::default());
        assert_eq!(elected(&mut dead, &cells, SECOND), Some(1));
        assert_eq!(next.tick(&cells, SECOND + EXPIRY), Ok(Standing::Idle));
        assert_eq!(elected(&mut next, &cells, SECOND + EXPIRY + 1), Some(2));
        assert_eq!(dead.tick(&cells, SECOND + EXPIRY + 2), Ok(Standing::Deposed));
        assert_eq!(dead.tick(&cells, SECOND + EXPIRY + 3), Ok(Standing::Idle));
    }

    #[test]
    fn a_lease_given_back_is_anybodys_after_the_back_off() {
        let cells = MemoryCells::default();
        let (mut first, mut second) = (Candidate::default(), Candidate::default());
        assert_eq!(elected(&mut first, &cells, SECOND), Some(1));
        assert!(first.release(&cells, SECOND));
        assert_eq!(second.tick(&cells, SECOND + FIRST_BACKOFF / 2 - 1), Ok(Standing::Idle));
        assert_eq!(elected(&mut second, &cells, SECOND + FIRST_BACKOFF), Some(2));
        assert_eq!(first.tick(&cells, SECOND + FIRST_BACKOFF), Ok(Standing::Idle));
        // Nothing happens to what is somebody else's.
        assert!(!first.release(&cells, SECOND + FIRST_BACKOFF));
        assert_eq!(second.tick(&cells, SECOND + FIRST_BACKOFF), Ok(Standing::Holding));
    }

    #[test]
    fn the_back_off_doubles_up_to_its_bound_and_begins_anew_after_a_success() {
        let cells = MemoryCells::default();
        let mut candidate = Candidate::default();
        let mut now = SECOND;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let failed_at = now;
            while elected(&mut candidate, &cells, now).is_none() {
                now += MILLISECOND;
            }
            waits.push((now - failed_at) / MILLISECOND);
            candidate.release(&cells, now);
        }
        for (attempt, wait) in waits.iter().enumerate().skip(1) {
            let full = (100 << (attempt - 1)).min(600);
            assert!((full / 2..=full).contains(wait), "attempt {attempt} waited {wait} ms");
        }
        now += SECOND;
        assert!(elected(&mut candidate, &cells, now).is_some());
        candidate.succeed(&cells, now);
        candidate.release(&cells, now);
        now += FIRST_BACKOFF;
        assert!(elected(&mut candidate, &cells, now).is_some());
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_waiting() {
        let cells = MemoryCells::default();
        let (mut first, mut second) = (Candidate::default(), Candidate::default());
        assert_eq!(elected(&mut first, &cells, 1000 * SECOND), Some(1));
        assert_eq!(elected(&mut second, &cells, SECOND), Some(2));
        assert_eq!(first.tick(&cells, SECOND), Ok(Standing::Deposed));
        second.release(&cells, 1000 * SECOND);
        assert!(elected(&mut first, &cells, SECOND).is_some());
    }

    #[test]
    fn all_workers_of_a_process_tell_one_instance() {
        let cells = MemoryCells::default();
        let (mut first, mut second) = (Candidate::default(), Candidate::default());
        let Ok(Standing::Elected { instance, .. }) = first.tick(&cells, 7 * SECOND) else { panic!() };
        first.release(&cells, 8 * SECOND);
        let Ok(Standing::Elected { instance: other, .. }) = second.tick(&cells, 9 * SECOND) else { panic!() };
        assert_eq!((instance, other), (7 * SECOND, 7 * SECOND));
    }

    #[test]
    fn a_lease_survives_the_round_trip() {
        let lease =
            Lease { holder: 1, term: 2, failures: 3, renewed_at: 4, retry_at: 5, workers: 6, instance: u64::MAX };
        assert_eq!(Lease::decode(&lease.encode()), Some(lease));
        assert_eq!(Lease::decode(&lease.encode()[1..]), None);
    }
}
