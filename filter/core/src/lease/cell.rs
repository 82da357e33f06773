//! The cell of the lease: its content, and whether the lease can be taken.

use super::{EXPIRY, MAX_BACKOFF, MILLISECOND, Role};
use crate::host::Nanos;
use latchkey_policy::cells::{CellError, Cells, Expect};
use latchkey_policy::snapshot::LEASE as CELL;

/// The time for which a worker leaves a free lease to a worker that is preferred.
pub(super) const HEAD_START: Nanos = 250 * MILLISECOND;

/// The interval at which an idle worker records its presence, and the time for which that counts.
const IDLE_PAUSE: Nanos = 500 * MILLISECOND;
pub(super) const IDLE_EXPIRY: Nanos = 2_000 * MILLISECOND;

/// The cell's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    /// The worker that holds the lease, or 0.
    pub(super) holder: u64,
    /// The term, which grows with every holder.
    pub(super) term: u32,
    /// The number of attempts since a stream last worked.
    pub(super) failures: u32,
    pub(super) renewed_at: Nanos,
    pub(super) retry_at: Nanos,
    /// The last number that was given to a worker.
    pub(super) workers: u64,
    /// The time at which the first worker of this process came.
    pub(super) instance: u64,
    /// The number of workers that came and have not ended.
    pub(super) alive: u64,
    /// The time at which a worker that serves no requests was last present, without the lease.
    pub(super) idle_at: Nanos,
    /// The place of that worker in the order in which they were configured.
    pub(super) idle_order: u64,
}

impl Lease {
    const LEN: usize = 72;

    /// Creates the first content of the cell, at `now`.
    fn new(now: Nanos) -> Self {
        Self {
            holder: 0,
            term: 0,
            failures: 0,
            renewed_at: 0,
            retry_at: 0,
            workers: 0,
            instance: now,
            alive: 0,
            idle_at: 0,
            idle_order: 0,
        }
    }

    pub(super) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let words = [
            self.holder,
            u64::from(self.term) | (u64::from(self.failures) << 32),
            self.renewed_at,
            self.retry_at,
            self.workers,
            self.instance,
            self.alive,
            self.idle_at,
            self.idle_order,
        ];

        for (place, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }

        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let words: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let mut words = words
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word));

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
            alive: words.next()?,
            idle_at: words.next()?,
            idle_order: words.next()?,
        })
    }

    /// Returns whether this worker can take the lease.
    pub(super) fn is_free(&self, now: Nanos, who: Role, order: u64) -> bool {
        if self.holder == 0 {
            let wait = if self.has_better(now, who, order) {
                HEAD_START
            } else {
                0
            };
            let retry_at = self.retry_at.saturating_add(wait);
            // A clock that was set back must not keep all workers waiting.
            now >= retry_at || retry_at.saturating_sub(now) > MAX_BACKOFF.saturating_add(wait)
        } else {
            now.abs_diff(self.renewed_at) > EXPIRY
        }
    }

    /// Frees the lease for any worker that tries from `retry_at` on.
    pub(super) fn free(&mut self, retry_at: Nanos) {
        self.holder = 0;
        self.retry_at = retry_at;
    }

    /// Returns whether another worker is preferred as holder to this one.
    pub(super) fn has_better(&self, now: Nanos, who: Role, order: u64) -> bool {
        self.has_idle(now) && (who == Role::Serving || self.idle_order < order)
    }

    /// Returns whether an idle worker is present.
    fn has_idle(&self, now: Nanos) -> bool {
        self.idle_at != 0 && now.abs_diff(self.idle_at) <= IDLE_EXPIRY
    }

    /// Returns whether an idle worker has to record its presence: the first of them does so now and
    /// then.
    pub(super) fn is_idle_due(&self, now: Nanos, order: u64) -> bool {
        !self.has_idle(now)
            || order < self.idle_order
            || (order == self.idle_order && now.abs_diff(self.idle_at) >= IDLE_PAUSE)
    }
}

/// Changes the cell, unless `change` returns `None`.
pub(super) fn update<T>(
    cells: &impl Cells,
    now: Nanos,
    change: impl FnOnce(&mut Lease) -> Option<T>,
) -> Result<Option<T>, CellError> {
    let cell = cells.get(CELL)?;

    let mut lease = cell
        .as_ref()
        .and_then(|cell| Lease::decode(&cell.bytes))
        .unwrap_or_else(|| Lease::new(now));

    let Some(outcome) = change(&mut lease) else {
        return Ok(None);
    };
    cells.set(CELL, &lease.encode(), Expect::unchanged(cell.as_ref()))?;
    Ok(Some(outcome))
}
