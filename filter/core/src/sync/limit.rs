//! Reporting the staleness limit to the control plane.

use super::{End, Session};
use crate::host::{Host, Nanos};
use latchkey_policy::snapshot;
use latchkey_policy::table::WriteError;

/// The interval at which the session looks for another staleness limit. A shorter one is reported
/// later: it is not urgent, and a worker that was held up records its limit late.
const LIMIT_PAUSE: Nanos = 1_000_000_000;
const SHORTER_LIMIT_PAUSE: Nanos = 10_000_000_000;

impl Session {
    /// Ends the stream if the control plane needs another staleness limit.
    pub(super) fn check_limit(&mut self, host: &impl Host, monotonic: Nanos) -> Result<(), End> {
        if monotonic.saturating_sub(self.limit_at) < LIMIT_PAUSE {
            return Ok(());
        }

        let Some(longest) = snapshot::longest_limit(host, monotonic).map_err(WriteError::from)?
        else {
            return Ok(());
        };
        let waited = monotonic.saturating_sub(self.limit_at);
        if longest == self.staleness {
            self.limit_at = monotonic;
        } else if is_longer(longest, self.staleness) || waited >= SHORTER_LIMIT_PAUSE {
            return Err(End::OtherLimit);
        }
        Ok(())
    }
}

/// Returns whether one staleness limit is longer than the other; 0 is none, the longest.
pub(super) fn is_longer(limit: u64, other: u64) -> bool {
    limit.wrapping_sub(1) > other.wrapping_sub(1)
}
