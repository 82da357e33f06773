//! The task in which a lost node expires.

use tokio::task::AbortHandle;

/// The task in which a lost node expires. Dropping it with the node's entry ends the task, so that
/// no task outlives its node.
pub(super) struct Expiry(AbortHandle);

impl Expiry {
    /// Returns a guard of the running task.
    pub(super) fn new(task: AbortHandle) -> Self {
        Self(task)
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.0.abort();
    }
}
