//! The current time, and the calendar windows that contain it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_tests::eventually;

/// Returns the Unix time in seconds.
pub(crate) fn now() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    )
    .unwrap()
}

/// Returns the end of the current window, in Unix seconds.
pub(crate) fn end(window: Window) -> i64 {
    window.end(window.number(now()))
}

/// Waits until at least `seconds` are left in the window, so that it does not end during a test.
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
