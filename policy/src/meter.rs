//! The counters of one key: how much of its limits is used up, and what is reported about it.
//!
//! All of them are in one shared cell, so that one compare-and-set changes them together: whoever
//! loses a race reads the cell again and asks again. Nothing here is ever refused by one limit
//! after another has been charged.
//!
//! A cell belongs to a slot, which one key after the other has. It says whose counters it holds:
//! the epoch of the key's snapshot, and the key's number, which grows from key to key. All secrets
//! of a key are counted together; when each was used last is kept of two, as there are never more
//! that are good.
//!
//! **The clock.** Windows are the calendar's, and only the newest of each kind is counted. A clock
//! that goes back by up to [`MAX_STEP_BACK`] reopens none: the newer window goes on until the clock
//! is in it again. If the window is further ahead than that, a clock was plainly wrong before.
//! Waiting for it could refuse a key for years, so the window that the clock says now begins, from
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

/// How many seconds a clock can be set back without reopening a window. It is the most that ntpd
/// corrects by itself (its panic threshold); it takes a clock that is further off for broken.
pub const MAX_STEP_BACK: i64 = 1_000;

/// By how many seconds another node's clock may be ahead of this one for what it admitted to count.
pub const MAX_SKEW: i64 = 60;

/// Whose counters they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The first bytes of the snapshot's epoch.
    pub epoch: [u8; 4],
    /// The number in the key's record.
    pub key: u64,
}

impl Owner {
    /// The key of that number, in a snapshot of that epoch.
    pub fn of(epoch: &Epoch, key: u64) -> Self {
        let [a, b, c, d, ..] = *epoch;
        Self {
            epoch: [a, b, c, d],
            key,
        }
    }
}

/// Why there are no counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MeterError {
    /// The cell cannot be trusted.
    #[error("damaged counters")]
    Damaged,
    /// A later key has the slot: this one is no more.
    #[error("the counters are a later key's")]
    Superseded,
}

impl From<Damaged> for MeterError {
    fn from(Damaged: Damaged) -> Self {
        Self::Damaged
    }
}

/// Requests that were admitted in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    number: u32,
    /// By this Envoy process.
    here: u32,
    /// By others, and by earlier processes.
    elsewhere: u32,
    /// Granted to workers of this process, which have not yet said what became of it.
    held: u32,
}

/// The counters of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    owner: Owner,
    /// By window.
    tallies: [Tally; Window::ALL.len()],
    /// By outcome.
    requests: [u64; Outcome::ALL.len()],
    last_uses: LastUses,
}

impl Meter {
    /// Counters at zero.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            tallies: Default::default(),
            requests: Default::default(),
            last_uses: LastUses::default(),
        }
    }

    /// The counters of `owner` from the cell of its slot: as they were left, or new ones if the
    /// cell is empty or was another key's.
    ///
    /// # Errors
    /// [`MeterError::Superseded`] if the cell is a later key's of the same epoch.
    pub fn of(cell: Option<&[u8]>, owner: Owner) -> Result<Self, MeterError> {
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

    /// Whose counters these are.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Takes one request from every limit if all admit it, else from none, and counts it as
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

    /// Counts a request that passes, whatever the limits say: in all windows, limited or not. Which
    /// secret it was made with is for [`Meter::used`] to say.
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

    /// What [`Meter::admit`] would say. Nothing changes.
    pub fn quota(&self, limits: &Limits, now: i64) -> Quota {
        let Some(nearest) = self.nearest(limits, now) else {
            return Quota {
                nearest: None,
                refused_by: None,
            };
        };
        // The nearest is one that is used up, if any is, and of those the last to end.
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

    /// The limit with the fewest requests left as things stand, for the headers of an answer to a
    /// request that takes none; of several the one whose window ends last, and then the one with
    /// the longest window.
    pub fn nearest(&self, limits: &Limits, now: i64) -> Option<Remaining> {
        self.remaining(limits, now)
            .min_by_key(|limit| (limit.remaining, Reverse((limit.reset, limit.window))))
    }

    /// All limits as things stand, the shortest window first.
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

    /// Counts a request that did not get as far as the limits.
    pub fn count(&mut self, outcome: Outcome) {
        if let Some(requests) = self.requests.get_mut(outcome as usize) {
            *requests = requests.saturating_add(1);
        }
    }

    /// Notes that the key's secret of that number was used at `now`, in Unix seconds, by a request
    /// that passed. Where it came from is asked of the first one in a second alone.
    pub fn used(&mut self, secret: u32, now: i64, from: impl FnOnce() -> Option<IpAddr>) {
        self.last_uses.note(secret, now, from);
    }

    /// What others have admitted in a window, as the control plane tells it. Within a window this
    /// only grows. A newer window begins with it, unless it is further ahead of `now` than
    /// [`MAX_SKEW`]: then another node's clock is wrong, and must not end the window here. What is
    /// said of older windows no longer matters.
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

    /// Requests by outcome, in the order of [`Outcome::ALL`], since the counters began.
    pub fn requests(&self) -> [u64; Outcome::ALL.len()] {
        self.requests
    }

    /// The newest window of each kind in which this process admitted a request: its number, and how
    /// many.
    pub fn windows(&self) -> impl Iterator<Item = (Window, u32, u32)> {
        let tallies = Window::ALL.into_iter().zip(self.tallies);
        tallies
            .filter(|(_, tally)| tally.here > 0)
            .map(|(window, tally)| (window, tally.number, tally.here))
    }

    /// The last uses of two of the key's secrets, the newer secret first: of the newest that was
    /// used, and of the other that was used last.
    pub fn last_uses(&self) -> impl Iterator<Item = LastUse> {
        self.last_uses.iter()
    }

    /// The tally of the window that counts at `now`.
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

/// The newest window that counts at `now`, should it have begun already.
fn newest(window: Window, now: i64) -> u32 {
    window.number(now.saturating_add(MAX_STEP_BACK))
}

#[cfg(test)]
mod tests;
