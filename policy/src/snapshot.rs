//! The snapshot in shared cells: one head, and under it the route rules, a table of policies and
//! one of keys.
//!
//! For each request the worker first checks whether anything was published since it read the head,
//! and reads the head again if so. So a request is decided by a state that is at least as new as
//! what had been published when it began. Changes are made in place and then published by a new
//! head. A whole new snapshot is built on the side that is not read, and its head moves the readers
//! over at once.

mod cache;
mod cached_key;
mod head;
mod limits;
mod notes;
mod progress;
mod reader;
mod secret;
mod writer;

use crate::cells::CellError;
use crate::record::Damaged;

pub use cached_key::CachedKey;
pub use head::Head;
pub use limits::{longest_limit, renew_limit};
pub use notes::{clear_damage, is_damaged, last_contact, note_contact, report_damage};
pub use progress::Image;
pub use reader::{Reader, View};
pub use secret::secret;
pub(crate) use secret::secret_in;
pub use writer::{ApplyError, Batch, Writer};

use crate::cell_names::snapshot_cell;

/// The name of the history that revisions belong to.
pub type Epoch = [u8; 16];

/// The cell of the lease of the stream.
pub const LEASE: &str = snapshot_cell!("lease");

/// The cell that numbers workers in the order in which they are configured.
pub const ORDER: &str = snapshot_cell!("order");

/// The tag of a revision. It identifies the history up to there, which a number does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tag(pub [u8; 16]);

impl Tag {
    /// No tag: the control plane is of version 0.1.
    pub const NONE: Self = Self([0; 16]);

    /// Reads a tag from the stream, which is empty if there is none; `None` if it has another
    /// length.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            Some(Self::NONE)
        } else {
            bytes.try_into().ok().map(Self)
        }
    }

    /// Returns the tag for the stream.
    pub fn to_vec(self) -> Vec<u8> {
        if self == Self::NONE {
            Vec::new()
        } else {
            self.0.to_vec()
        }
    }
}

/// The reason why the snapshot cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No snapshot has been published yet.
    #[error("no snapshot has been received yet")]
    NotReady,
    /// This Envoy has reported to the control plane that it no longer serves requests.
    #[error("this Envoy has said goodbye to the control plane")]
    Suspended,
    /// The snapshot exists and cannot be trusted.
    #[error("the snapshot in memory is damaged")]
    Damaged,
    /// The snapshot moved while it was read: look again.
    #[error("the snapshot moved while it was read")]
    Moved,
    /// The counters of the key could not be trusted. They have been reset.
    #[error("the counters of a key in memory are damaged")]
    Counters,
    /// The snapshot is older than the operator allows.
    #[error("the control plane was not heard from for too long")]
    Stale,
    /// The host refused a call.
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
