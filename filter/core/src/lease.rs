//! The election of the worker of an Envoy that holds the stream: a lease in one shared cell.
//!
//! The holder renews the lease at every tick. Any worker may take a lease that was not renewed for
//! [`EXPIRY`]. A holder whose stream ends gives the lease back with a time before which nobody
//! tries again. So the whole Envoy has one back-off, and another worker may be the next to try.
//! Each new holder gets a higher term, which keeps a predecessor that was only asleep from writing
//! (`latchkey_policy::table`). A holder that ends in order gives the lease back at once.
//!
//! The cell also counts the workers of the process, so that the last one can say goodbye to the
//! control plane. When Envoy shuts down, the main thread's is the last. So a worker that serves
//! requests leaves the lease to one that serves none. Among these the one that was configured first
//! gets it: that is the main thread's.

mod cell;

use crate::host::Nanos;
use cell::{Lease, update};
use latchkey_policy::cells::{CellError, Cells, Expect};
use latchkey_policy::snapshot::ORDER;

const MILLISECOND: Nanos = 1_000_000;

/// The time after which a lease expires that is not renewed.
pub const EXPIRY: Nanos = 3_000 * MILLISECOND;

/// The longest wait between two attempts: a control plane that is back is found within a second.
const MAX_BACKOFF: Nanos = 600 * MILLISECOND;
const FIRST_BACKOFF: Nanos = 100 * MILLISECOND;

/// The number of times a holder tries to give the lease back while others write the cell first.
const GIVE_BACK_ATTEMPTS: usize = 4;

/// The number of times a worker being configured tries to get its place while others write first.
const LINE_UP_ATTEMPTS: usize = 100;

/// The number of times a worker that ends tries to record it while others write first.
const LEAVE_ATTEMPTS: usize = 1_000;

/// The role of a worker in the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The worker has served no request so far. The main thread's never does.
    Idle,
    /// The worker serves requests.
    Serving,
    /// The worker cannot open a stream, and is only counted.
    Unfit,
}

/// The result for a worker that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// True if there is no other worker in this process.
    pub is_last: bool,
}

/// One worker's handle of the lease.
#[derive(Debug)]
pub struct LeaseHandle {
    /// Its place in the order in which the workers were configured.
    order: u64,
    /// This worker's number; `None` before it has one.
    worker: Option<u64>,
    /// The term of the lease, if this worker holds it.
    term: Option<u32>,
}

impl Default for LeaseHandle {
    fn default() -> Self {
        Self {
            order: u64::MAX,
            worker: None,
            term: None,
        }
    }
}

/// The state of a worker after a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// This worker does not have the lease: another has it, or it is too early to try again.
    Free,
    /// This worker has just got the lease.
    Acquired {
        /// The new term, higher than all before.
        term: u32,
        /// The instance of this Envoy process.
        instance: u64,
    },
    /// This worker still has the lease.
    Held,
    /// This worker still has the lease, and another is preferred.
    Wanted,
    /// This worker had the lease, and another has it now.
    Lost,
}

impl LeaseHandle {
    /// Takes the next place in the order of workers. A worker that gets none is the last.
    pub fn line_up(&mut self, cells: &impl Cells) {
        for _ in 0..LINE_UP_ATTEMPTS {
            let Ok(cell) = cells.get(ORDER) else { return };
            let last = cell
                .as_ref()
                .and_then(|cell| cell.bytes.as_slice().try_into().ok())
                .map_or(0, u64::from_le_bytes);
            let next = last.saturating_add(1);
            match cells.set(ORDER, &next.to_le_bytes(), Expect::unchanged(cell.as_ref())) {
                Ok(_) => {
                    self.order = next;
                    return;
                }
                Err(CellError::Conflict) => {}
                Err(CellError::Host) => return,
            }
        }
    }

    /// Renews the lease, or tries to get it.
    pub fn tick(
        &mut self,
        cells: &impl Cells,
        now: Nanos,
        who: Role,
    ) -> Result<LeaseState, CellError> {
        let worker = match self.number(cells, now) {
            Ok(Some(worker)) => worker,
            Ok(None) | Err(CellError::Conflict) => return Ok(LeaseState::Free),
            Err(error) => return Err(error),
        };

        let ticked = update(cells, now, |lease| {
            self.renew_or_take(lease, worker, now, who)
        });

        match ticked {
            Ok(Some(state)) => {
                if let LeaseState::Acquired { term, .. } = state {
                    self.term = Some(term);
                }
                Ok(state)
            }
            Ok(None) => Ok(if self.term.take().is_some() {
                LeaseState::Lost
            } else {
                LeaseState::Free
            }),
            // Another worker has just written the cell: the next tick shows the result.
            Err(CellError::Conflict) if self.term.is_some() => Ok(LeaseState::Held),
            Err(CellError::Conflict) => Ok(LeaseState::Free),
            Err(error) => Err(error),
        }
    }

    /// Returns this worker's number, which it gets at its first tick.
    fn number(&mut self, cells: &impl Cells, now: Nanos) -> Result<Option<u64>, CellError> {
        if self.worker.is_none() {
            self.worker = update(cells, now, |lease| {
                lease.workers = lease.workers.saturating_add(1);
                lease.alive = lease.alive.saturating_add(1);
                Some(lease.workers)
            })?;
        }
        Ok(self.worker)
    }

    /// Renews or takes the lease, or records the presence of an idle worker. `None` if there is
    /// nothing to write.
    fn renew_or_take(
        &self,
        lease: &mut Lease,
        worker: u64,
        now: Nanos,
        who: Role,
    ) -> Option<LeaseState> {
        let (held, order) = (self.term, self.order);
        if held.is_some_and(|term| lease.holder == worker && lease.term == term) {
            lease.renewed_at = now;
            return Some(if lease.has_better(now, who, order) {
                LeaseState::Wanted
            } else {
                LeaseState::Held
            });
        }

        if held.is_some() || who == Role::Unfit || !lease.is_free(now, who, order) {
            let is_due = held.is_none() && who == Role::Idle && lease.is_idle_due(now, order);
            return is_due.then(|| {
                (lease.idle_at, lease.idle_order) = (now, order);
                LeaseState::Free
            });
        }

        lease.holder = worker;
        lease.term = lease.term.saturating_add(1);
        lease.renewed_at = now;

        Some(LeaseState::Acquired {
            term: lease.term,
            instance: lease.instance,
        })
    }

    /// Records that the stream works, so that the next back-off starts from the shortest wait.
    pub fn succeed(&self, cells: &impl Cells, now: Nanos) {
        // If a faster writer wins, this costs at most one longer wait.
        let _ = self.if_held(
            cells,
            now,
            |lease| lease.failures != 0,
            |lease| lease.failures = 0,
        );
    }

    /// Gives the lease back after the stream ended. The next attempt follows after a back-off.
    /// Returns false if another worker already has the lease.
    pub fn release(&mut self, cells: &impl Cells, now: Nanos) -> bool {
        self.give_back(cells, now, |lease| {
            lease.free(now.saturating_add(backoff(lease.failures, now ^ lease.instance)));
            lease.failures = lease.failures.saturating_add(1);
        })
    }

    /// Gives the lease back at once, so that another worker goes on at its next tick.
    pub fn hand_over(&mut self, cells: &impl Cells, now: Nanos) {
        self.give_back(cells, now, |lease| lease.free(now));
    }

    /// Frees the lease; false if another has it already. A lease that is not given back expires.
    fn give_back(&mut self, cells: &impl Cells, now: Nanos, free: impl Fn(&mut Lease)) -> bool {
        let mut given_back = Ok(None);
        for _ in 0..GIVE_BACK_ATTEMPTS {
            given_back = self.if_held(cells, now, |_| true, &free);
            if given_back != Err(CellError::Conflict) {
                break;
            }
        }
        self.term = None;
        given_back != Ok(None)
    }

    /// Ends this worker, and gives the lease back if it has it. `None` if that was not recorded.
    pub fn leave(&mut self, cells: &impl Cells, now: Nanos) -> Option<Left> {
        let worker = self.worker.take()?;
        let (term, order) = (self.term.take(), self.order);

        for _ in 0..LEAVE_ATTEMPTS {
            let left = update(cells, now, |lease| {
                lease.alive = lease.alive.saturating_sub(1);
                if lease.holder == worker && Some(lease.term) == term {
                    lease.free(now);
                }
                if lease.idle_order == order {
                    lease.idle_at = 0;
                }
                Some(Left {
                    is_last: lease.alive == 0,
                })
            });
            match left {
                Err(CellError::Conflict) => {}
                Ok(left) => return left,
                Err(CellError::Host) => return None,
            }
        }

        None
    }

    /// Changes the lease if this worker holds it and the condition is met.
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

/// Returns the wait, which doubles with every failure up to a bound. Its upper half is random, so
/// that the Envoys that lost one control plane do not come back at once.
fn backoff(failures: u32, seed: u64) -> Nanos {
    let full = FIRST_BACKOFF
        .saturating_mul(1 << failures.min(8))
        .min(MAX_BACKOFF);
    let half = full / 2;
    half.saturating_add(mix(seed).checked_rem(half).unwrap_or_default())
}

/// SplitMix64's finalizer: the VM has no source of randomness but the clock.
fn mix(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
