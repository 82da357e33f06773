//! The snapshot in shared cells: one head, and under it the route rules, a table of policies and one of keys.
//!
//! A request asks first whether anything was published since the worker read the head, and reads it again if so: what it
//! decides by is at least as new as what had been published when it began. Changes are made in place and then published by a new head; a whole new snapshot is built on the side that is
//! not read, and its head moves the readers over at once.

mod cache;
mod entry;
mod head;
mod notes;
mod reader;
mod writer;

use crate::cells::CellError;
use crate::record::Damaged;

pub use entry::Entry;
pub use head::Head;
pub use notes::{last_contact, note_contact, report_damage, take_damage_report};
pub use reader::{Reader, View};
pub use writer::{ApplyError, Batch, Writer};

/// Names the history that revisions belong to.
pub type Epoch = [u8; 16];

/// The snapshot cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// None has been published yet.
    #[error("no snapshot has been received yet")]
    NotReady,
    /// It is there and cannot be trusted.
    #[error("the snapshot in memory is damaged")]
    Damaged,
    /// It moved while it was read: look again.
    #[error("the snapshot moved while it was read")]
    Moved,
    /// The counters of the key cannot be trusted. They have been begun anew.
    #[error("the counters of a key in memory are damaged")]
    Counters,
    /// It is older than the operator allows.
    #[error("the control plane was not heard from for too long")]
    Stale,
    /// The host refused.
    #[error("the host's shared memory failed")]
    Host,
}

impl From<Damaged> for Unavailable {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<CellError> for Unavailable {
    fn from(_: CellError) -> Self {
        Self::Host
    }
}
