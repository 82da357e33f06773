//! Limits the number of log lines that peers can cause.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// The maximum number of lines in a [`PERIOD`].
const LINES: u32 = 20;

const PERIOD: Duration = Duration::from_secs(60);

/// Counts the recent log lines about refused peers.
#[derive(Default)]
pub(crate) struct LogLimit(Mutex<State>);

#[derive(Default)]
struct State {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// Returns whether one more line may be logged. The first permitted line after a suppression
    /// also logs the number of suppressed lines.
    pub(crate) fn permits(&self) -> bool {
        let (permits, left_out) = self.count(Instant::now());
        if left_out > 0 {
            warn!(
                lines = left_out,
                "too many refused streams to log all of them; metrics count them"
            );
        }
        permits
    }

    /// Returns whether a line is permitted, and the number of lines suppressed before it.
    fn count(&self, now: Instant) -> (bool, u64) {
        // The lock is held only in this function, which does not panic.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = 0;

        if state
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= PERIOD)
        {
            left_out = state.left_out;
            *state = State {
                began: Some(now),
                ..State::default()
            };
        }

        let permits = state.lines < LINES;
        match permits {
            true => state.lines = state.lines.saturating_add(1),
            false => state.left_out = state.left_out.saturating_add(1),
        }

        (permits, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_log_limited_lines() {
        let (limit, began) = (LogLimit::default(), Instant::now());
        let logged = |now| (0..1_000).filter(|_| limit.count(now).0).count();
        assert_eq!(logged(began), 20);
        assert_eq!(logged(began + PERIOD / 2), 0);
        assert_eq!(limit.count(began + PERIOD), (true, 1_980));
        assert_eq!(logged(began + PERIOD), 19);
    }
}
