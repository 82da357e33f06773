//! The enforcement progress of changes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The enforcement progress of a change when the call returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enforcement {
    /// The revision of the change.
    pub revision: u64,
    /// The number of nodes that may be serving. Unknown nodes count as one.
    pub nodes: usize,
    /// The number of nodes that enforce this revision or a newer one.
    pub acknowledged: usize,
    /// The number of nodes that have no stream and have not acknowledged. They count until they can
    /// no longer serve or are forgotten.
    pub lost: usize,
    /// True if every node that may be serving has acknowledged. If false, `acknowledged` is less
    /// than `nodes`.
    pub complete: bool,
    /// The time that the caller waited, in milliseconds.
    pub elapsed_ms: u64,
}
