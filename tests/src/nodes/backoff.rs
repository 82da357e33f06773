//! The delay before a node whose stream ended connects again, as in the filter's lease.

use std::time::Duration;

use crate::seeded_rng::SeededRng;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_millis(600);

/// The lifetime of a stream after which the delay starts again from its shortest value.
const PROBATION: Duration = Duration::from_secs(5);

/// The delay of one node.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    rng: SeededRng,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            rng: SeededRng(seed),
        }
    }

    /// Returns the delay after a stream that has lived for `lived`. The delay doubles up to a
    /// bound, and its upper half is random.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived > PROBATION {
            self.failures = 0;
        }
        let full = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        let upper = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(self.rng.number() % upper.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_and_resets() {
        let mut backoff = Backoff::new(7);
        for full in [100, 200, 400, 600, 600] {
            let waited = backoff.after(Duration::ZERO).as_millis();
            assert!((full / 2..=full).contains(&waited), "{waited} ms of {full}");
        }
        assert!(backoff.after(PROBATION * 2) <= FIRST);
    }
}
