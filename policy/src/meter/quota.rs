//! The answer of a key's limits to a request.

use crate::limit::Window;

/// The state of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// The limit's window.
    pub window: Window,
    /// The window's number.
    pub number: u32,
    /// The limit: requests per window.
    pub limit: u32,
    /// The number of requests that are left.
    pub remaining: u32,
    /// The end of the window, in Unix seconds.
    pub reset: i64,
}

/// A limit that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// The limit's window.
    pub window: Window,
    /// The limit: requests per window.
    pub limit: u32,
    /// Seconds, at least 1, until none of the limits that are used up now is used up any longer.
    pub retry_after: i64,
}

/// The answer of the limits to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The limit with the fewest requests left, after this request; `None` if there are no limits.
    pub nearest: Option<Remaining>,
    /// The limit that refuses the request. If several do, the one that does so for longest.
    pub refused_by: Option<Exhausted>,
}

impl Quota {
    /// Returns whether all limits admit the request.
    pub fn admitted(&self) -> bool {
        self.refused_by.is_none()
    }
}
