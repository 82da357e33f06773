//! A record of the checks, for `explain`.

use super::Code;

/// A recorder of every check on the way.
pub trait Trace {
    /// Records the check that refuses with `code`, whether the request passed it, and its values.
    fn step(&mut self, code: Code, passed: bool, compared: impl FnOnce() -> String);
}

/// A trace that records nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoTrace;

impl Trace for NoTrace {
    fn step(&mut self, _: Code, _: bool, _: impl FnOnce() -> String) {}
}
