//! What a key's limits say to a request.

use crate::limit::Window;

/// The state of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// The limit's window.
    pub window: Window,
    /// The window's number.
    pub number: u32,
    /// Requests that it has in all.
    pub limit: u32,
    /// Those that are left.
    pub remaining: u32,
    /// When the window ends, in Unix seconds.
    pub reset: i64,
}

/// A limit that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// The limit's window.
    pub window: Window,
    /// Requests that it has in all.
    pub limit: u32,
    /// Seconds, at least 1, until no limit that is used up now is so any more.
    pub retry_after: i64,
}

/// What the limits say to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The limit with the fewest requests left, after this request; `None` if there are no limits.
    pub nearest: Option<Remaining>,
    /// The limit that refuses it. If several do, the one that does so for longest.
    pub refused_by: Option<Exhausted>,
}

impl Quota {
    /// Whether all limits admit the request.
    pub fn admitted(&self) -> bool {
        self.refused_by.is_none()
    }
}
