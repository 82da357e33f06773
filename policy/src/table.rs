//! A hash table in shared cells that one writer changes under any number of readers.
//!
//! Linear hashing (Litwin, 1980): a table of `pages` pages holds a record in page `hash mod
//! 2^level`, and grows by splitting one page after the other, so that no change ever costs more
//! than two pages. A page has its level in its header. A reader whose size of the table is older
//! than a split follows the split to the page that the record moved to. The half that moves is
//! written before the half that stays, so a record is never missing in between.
//!
//! # Two writers
//!
//! A worker that was thought dead may wake up and go on writing. Every page has the term of its
//! last writer, and is only replaced if it has not changed since it was read. A page of a later
//! term is not changed, and the writer that finds it fails as [superseded](WriteError::Superseded).
//! Every change writes its page, even a removal that finds nothing, so that from then on an earlier
//! term's change to the same record is refused.

mod page;
mod sweep;
mod writer;

use crate::cells::{CellError, Cells};
use crate::record::{Damaged, Kind, Records};
use page::{Page, index_at_level, name};

pub use sweep::Sweep;
pub use writer::TableWriter;

/// The average number of records on a page above which the table grows.
pub const RECORDS_PER_PAGE: u64 = 16;

/// One of the two places of a snapshot: one is read while the other is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first place.
    A,
    /// The second place.
    B,
}

impl Side {
    /// Returns the other side, where the next snapshot is built.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A table at one size: all that a reader needs to find a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// The kind of its records.
    pub kind: Kind,
    /// The side of the snapshot that the table is on.
    pub side: Side,
    /// The number of the load, which distinguishes the table from an earlier one at the same place.
    pub load: u32,
    /// The number of pages so far, at least 1.
    pub pages: u32,
}

/// The reason why a look-up has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The table is no longer at this place: look at the snapshot's head again. If that has not
    /// changed, it is damage.
    #[error("the table is not there")]
    Gone,
    /// The page or the record cannot be trusted.
    #[error("damaged page")]
    Damaged,
    /// The host refused a call.
    #[error("the host's shared memory failed")]
    Host,
}

impl From<CellError> for ReadError {
    fn from(_: CellError) -> Self {
        Self::Host
    }
}

impl From<Damaged> for ReadError {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// The reason why a change was not made, or not completely. The writer gives up its term; the next
/// one begins from the last published revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another worker has taken over.
    #[error("another worker has taken over")]
    Superseded,
    /// A page cannot be trusted: a new snapshot is needed.
    #[error("damaged page")]
    Damaged,
    /// The host refused a call.
    #[error("the host's shared memory failed")]
    Host,
}

impl From<CellError> for WriteError {
    fn from(error: CellError) -> Self {
        match error {
            CellError::Conflict => Self::Superseded,
            CellError::Host => Self::Host,
        }
    }
}

impl From<Damaged> for WriteError {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl Table {
    /// Finds the record with this identifier.
    pub fn find(&self, cells: &impl Cells, id: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let hash = self.kind.hash(id);
        let mut index = self.index_of(hash);

        // Each turn follows at least one split, and there are at most as many splits as levels.
        for _ in 0..=u64::BITS {
            let cell = cells
                .get(&name(self.side, self.kind, index))?
                .ok_or(ReadError::Gone)?;
            if cell.bytes.is_empty() {
                return Err(ReadError::Gone);
            }
            let page = Page::decode(&cell.bytes)?;
            if page.load != self.load {
                return Err(ReadError::Gone);
            }
            let at_level = index_at_level(hash, page.level);
            if at_level != u64::from(index) {
                index = u32::try_from(at_level).map_err(|_| ReadError::Damaged)?;
                continue;
            }
            for record in Records::new(self.kind, page.records) {
                let (found, record) = record?;
                if found == id {
                    return Ok(Some(record.to_vec()));
                }
            }
            return Ok(None);
        }

        Err(ReadError::Damaged)
    }

    pub(super) fn index_of(&self, hash: u64) -> u32 {
        let pages = u64::from(self.pages.max(1));
        let level = pages.ilog2();
        let index = index_at_level(hash, level.saturating_add(1));
        // The upper half at the next level exists only for pages that have been split.
        let index = if index < pages {
            index
        } else {
            index_at_level(hash, level)
        };
        u32::try_from(index).unwrap_or_default()
    }
}
