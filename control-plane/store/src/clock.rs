//! The windows of the calendar, and whether the clock that they are found by is right.

use latchkey_policy::limit::Window;
use sqlx::SqlitePool;

use super::{StoreError, uptime};

/// The number of seconds that the clock must have run without being set to be trusted: deleted data
/// ended at least as long ago.
pub(super) const STEADY: i64 = 24 * 60 * 60;

/// Returns the number of a kind of window in the store and on the stream.
pub fn kind(window: Window) -> i32 {
    match window {
        Window::Minute => 1,
        Window::Hour => 2,
        Window::Day => 3,
        Window::Month => 4,
    }
}

/// Returns whether the clock is known to be wrong by less than a day: a node has agreed on the
/// present day, or the clock has run for a day without being set.
pub(super) async fn trusts(from: &SqlitePool, now: i64) -> Result<bool, StoreError> {
    let today = counts_since(from, Window::Day, Window::Day.number(now)).await?;
    Ok(today || uptime::is_steady(from, STEADY, now).await?)
}

/// Returns whether a node has reported a request of the window with this number, or of a later one.
pub(super) async fn counts_since(
    from: &SqlitePool,
    window: Window,
    number: u32,
) -> Result<bool, StoreError> {
    const QUERY: &str =
        "SELECT EXISTS (SELECT 1 FROM window_counts WHERE kind = ? AND number >= ?)";
    Ok(sqlx::query_scalar(QUERY)
        .bind(kind(window))
        .bind(number)
        .fetch_one(from)
        .await?)
}
