//! The time, and the calendar's windows in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_tests::eventually;

/// Unix time in seconds.
pub(crate) fn now() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    )
    .unwrap()
}

/// When the window that it is now is over, in Unix seconds.
pub(crate) fn end(window: Window) -> i64 {
    window.end(window.number(now()))
}

/// Waits until at least so many seconds are left of the window, so that it does not turn in the
/// midst of a test.
pub(crate) async fn time_in(window: Window, seconds: u32) {
    let enough = eventually(Duration::from_secs(u64::from(seconds) + 2), async || {
        let left = end(window) - now();
        ensure!(
            left >= i64::from(seconds),
            "{left} s are left of this {}",
            window.as_str()
        );
        Ok(())
    });
    enough.await.unwrap();
}

/// Waits for that second.
pub(crate) async fn reaches(second: i64) {
    let left = u64::try_from(second - now()).unwrap_or_default();
    let reached = eventually(Duration::from_secs(left + 2), async || {
        ensure!(now() >= second, "it is {}", now());
        Ok(())
    });
    reached.await.unwrap();
}
