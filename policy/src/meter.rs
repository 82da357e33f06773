//! The counters of one key: the used part of its limits, and the numbers that are reported about
//! it.
//!
//! All counters are in one shared cell, so that one compare-and-set changes them together. A worker
//! that loses a race reads the cell and tries again. A request is never charged to one limit and
//! then refused by another.
//!
//! A cell belongs to a slot, which one key after the other has. The cell names the key whose
//! counters it holds: the epoch of the key's snapshot, and the key's number, which grows from key
//! to key. All secrets of a key are counted together. The time of last use is kept for two secrets,
//! as there are never more that are good.
//!
//! **The clock.** Windows are the calendar's, and only the newest of each kind is counted. A clock
//! that goes back by up to [`MAX_STEP_BACK`] reopens none: the newer window goes on until the clock
//! is in it again. If the window is further ahead than that, the clock was clearly wrong before.
//! Waiting for it could refuse a key for years, so the window of the present time begins, from
//! zero: after such a clock a key can have one window's requests again.

mod allowance;
mod codec;
mod last_use;
mod outcome;
mod quota;

pub use allowance::Allowance;
pub use last_use::LastUse;
use last_use::LastUses;
pub use outcome::Outcome;
pub use quota::{Exhausted, Quota, Remaining};

use crate::limit::{self, Limits, Window};
use crate::record::Damaged;
use crate::snapshot::Epoch;
use std::cmp::Reverse;
use std::net::IpAddr;

/// The number of seconds that a clock can be set back without reopening a window. It is the most
/// that ntpd corrects without an operator (its panic threshold): it takes a clock that is further
/// off for broken.
pub const MAX_STEP_BACK: i64 = 1_000;

/// The number of seconds that another node's clock may be ahead of this one for its counts to be
/// used.
pub const MAX_SKEW: i64 = 60;

/// The key that counters belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The first bytes of the snapshot's epoch.
    pub epoch: [u8; 4],
    /// The number in the key's record.
    pub key: u64,
}

impl Owner {
    /// Creates the owner for the key of that number, in a snapshot of that epoch.
    pub fn new(epoch: &Epoch, key: u64) -> Self {
        let [a, b, c, d, ..] = *epoch;
        Self {
            epoch: [a, b, c, d],
            key,
        }
    }
}

/// The reason why there are no counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MeterError {
    /// The cell cannot be trusted.
    #[error("damaged counters")]
    Damaged,
    /// A later key has the slot: this key no longer exists.
    #[error("the counters are a later key's")]
    Superseded,
}

impl From<Damaged> for MeterError {
    fn from(Damaged: Damaged) -> Self {
        Self::Damaged
    }
}

/// The requests that were admitted in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    number: u32,
    /// The requests admitted by this Envoy process.
    here: u32,
    /// The requests admitted by other nodes, and by earlier processes.
    elsewhere: u32,
    /// The requests granted to workers of this process that have not settled them yet.
    held: u32,
}

/// The counters of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    owner: Owner,
    /// The tallies, by window.
    tallies: [Tally; Window::ALL.len()],
    /// The numbers of requests, by outcome.
    requests: [u64; Outcome::ALL.len()],
    last_uses: LastUses,
}

impl Meter {
    /// Creates counters at zero.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            tallies: Default::default(),
            requests: Default::default(),
            last_uses: LastUses::default(),
        }
    }

    /// Returns the counters of `owner` from the cell of its slot: as they were left, or new ones if
    /// the cell is empty or was another key's.
    ///
    /// # Errors
    /// [`MeterError::Superseded`] if the cell is a later key's of the same epoch.
    pub fn from_cell(cell: Option<&[u8]>, owner: Owner) -> Result<Self, MeterError> {
        let Some(cell) = cell else {
            return Ok(Self::new(owner));
        };
        let meter = Self::decode(cell)?;
        if meter.owner == owner {
            Ok(meter)
        } else if meter.owner.epoch == owner.epoch && meter.owner.key > owner.key {
            Err(MeterError::Superseded)
        } else {
            Ok(Self::new(owner))
        }
    }

    /// Returns the key that these counters belong to.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Takes one request from every limit if all admit it, or else from none, and counts it as
    /// [`Outcome::Allowed`] or [`Outcome::RateLimited`].
    pub fn admit(&mut self, limits: &Limits, now: i64) -> Quota {
        let quota = self.quota(limits, now);
        if quota.admitted() {
            self.pass(now);
        } else {
            self.count(Outcome::RateLimited);
        }
        quota
    }

    /// Counts a request that passes, in all windows, even if a limit is used up. The secret that it
    /// was made with is recorded by [`Meter::used`].
    pub fn pass(&mut self, now: i64) {
        for window in Window::ALL {
            let tally = self.tally(window, now);
            self.set_tally(
                window,
                Tally {
                    here: tally.here.saturating_add(1),
                    ..tally
                },
            );
        }
        self.count(Outcome::Allowed);
    }

    /// Returns the result that [`Meter::admit`] would have. Nothing changes.
    pub fn quota(&self, limits: &Limits, now: i64) -> Quota {
        let Some(nearest) = self.nearest(limits, now) else {
            return Quota {
                nearest: None,
                refused_by: None,
            };
        };

        // The nearest limit is one that is used up, if any is, and of those the last to end.
        let Some(remaining) = nearest.remaining.checked_sub(1) else {
            let Remaining {
                window,
                limit,
                reset,
                ..
            } = nearest;
            let retry_after = reset.saturating_sub(limit::clamped(now));
            return Quota {
                nearest: Some(nearest),
                refused_by: Some(Exhausted {
                    window,
                    limit,
                    retry_after,
                }),
            };
        };

        Quota {
            nearest: Some(Remaining {
                remaining,
                ..nearest
            }),
            refused_by: None,
        }
    }

    /// Returns the limit with the fewest requests left at present, for the headers of an answer to
    /// a request that takes none. Of several it is the one whose window ends last, and then the one
    /// with the longest window.
    pub fn nearest(&self, limits: &Limits, now: i64) -> Option<Remaining> {
        self.remaining(limits, now)
            .min_by_key(|limit| (limit.remaining, Reverse((limit.reset, limit.window))))
    }

    /// Returns all limits as they are at present, the shortest window first.
    pub fn remaining(&self, limits: &Limits, now: i64) -> impl Iterator<Item = Remaining> {
        Window::ALL.into_iter().filter_map(move |window| {
            let limit = limits.get(window)?;
            let Tally {
                number,
                here,
                elsewhere,
                held,
            } = self.tally(window, now);
            let remaining = limit
                .saturating_sub(here)
                .saturating_sub(elsewhere)
                .saturating_sub(held);
            Some(Remaining {
                window,
                number,
                limit,
                remaining,
                reset: window.end(number),
            })
        })
    }

    /// Counts a request that was refused before the limits were checked.
    pub fn count(&mut self, outcome: Outcome) {
        if let Some(requests) = self.requests.get_mut(outcome as usize) {
            *requests = requests.saturating_add(1);
        }
    }

    /// Records that the key's secret of that number was used at `now`, in Unix seconds, by a
    /// request that passed. `from` returns its address, and is called only for the first request in
    /// a second.
    pub fn used(&mut self, secret: u32, now: i64, from: impl FnOnce() -> Option<IpAddr>) {
        self.last_uses.note(secret, now, from);
    }

    /// Takes over the requests that other nodes have admitted in a window, as the control plane
    /// sends them. Within a window this number only grows. A newer window begins with it, unless it
    /// is further ahead of `now` than [`MAX_SKEW`]: then another node's clock is wrong, and must
    /// not end the window here. Counts for older windows no longer matter.
    pub fn elsewhere(&mut self, window: Window, number: u32, count: u32, now: i64) {
        let mut tally = self.tally(window, now);
        if number > tally.number && number <= window.number(now.saturating_add(MAX_SKEW)) {
            tally = Tally {
                number,
                ..Tally::default()
            };
        }
        if number == tally.number {
            tally.elsewhere = tally.elsewhere.max(count);
            self.set_tally(window, tally);
        }
    }

    /// Returns the numbers of requests by outcome, in the order of [`Outcome::ALL`], since the
    /// counters began.
    pub fn requests(&self) -> [u64; Outcome::ALL.len()] {
        self.requests
    }

    /// Returns the newest window of each kind in which this process admitted a request: its number,
    /// and the number of requests.
    pub fn windows(&self) -> impl Iterator<Item = (Window, u32, u32)> {
        let tallies = Window::ALL.into_iter().zip(self.tallies);
        tallies
            .filter(|(_, tally)| tally.here > 0)
            .map(|(window, tally)| (window, tally.number, tally.here))
    }

    /// Returns the last uses of two of the key's secrets, the newer secret first: of the newest
    /// that was used, and of the other that was used last.
    pub fn last_uses(&self) -> impl Iterator<Item = LastUse> {
        self.last_uses.iter()
    }

    /// Returns the tally of the window that counts at `now`.
    fn tally(&self, window: Window, now: i64) -> Tally {
        let kept = self
            .tallies
            .get(window as usize)
            .copied()
            .unwrap_or_default();
        let current = window.number(now);

        if (current..=newest(window, now)).contains(&kept.number) {
            kept
        } else {
            Tally {
                number: current,
                ..Tally::default()
            }
        }
    }

    fn set_tally(&mut self, window: Window, tally: Tally) {
        if let Some(kept) = self.tallies.get_mut(window as usize) {
            *kept = tally;
        }
    }
}

/// Returns the newest window that counts at `now`, if it has begun already.
fn newest(window: Window, now: i64) -> u32 {
    window.number(now.saturating_add(MAX_STEP_BACK))
}

#[cfg(test)]
mod tests;
