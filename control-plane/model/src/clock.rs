//! The current time, as a parameter, and its format in responses.

use jiff::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock, which decides whether sessions and keys have expired. It does not measure waits.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time in Unix seconds.
    fn now(&self) -> i64;

    /// Returns the time in Unix milliseconds.
    fn now_millis(&self) -> i64 {
        self.now().saturating_mul(1_000)
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        // A clock before 1970 counts as 1970: nothing has expired then, and nothing is created with
        // a negative time.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    fn now_millis(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The error of a node's clock from which it is logged, in milliseconds. Each further change by
/// this amount is logged again.
pub const SKEW_WARNED: i64 = 5_000;

/// Formats Unix seconds as RFC 3339 in UTC to the second, as in `2024-01-15T10:30:00Z`.
pub fn rfc3339(unix: i64) -> String {
    Timestamp::from_second(unix)
        .unwrap_or(if unix < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_in_utc_seconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_705_314_600), "2024-01-15T10:30:00Z");
        assert_eq!(rfc3339(253_370_764_799), "9998-12-31T23:59:59Z");
    }
}
