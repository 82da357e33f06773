//! The memory that all workers of one Envoy share, as this crate needs it: named cells, each with a
//! version.
//!
//! Envoy's shared data can neither delete nor list, so cells have fixed names that are used again.
//! A call reads or writes one cell; nothing spans two cells.

/// The content of a cell when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The content; empty when the cell was cleared.
    pub bytes: Vec<u8>,
    /// The version, which changes with every write to the cell.
    pub version: u32,
}

/// The condition for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nobody has ever written the cell.
    Absent,
    /// Nobody has written the cell since this version was read.
    Version(u32),
}

impl Expect {
    /// Returns the condition that the cell is as it was when `cell` was read.
    pub fn unchanged(cell: Option<&Cell>) -> Self {
        cell.map_or(Self::Absent, |cell| Self::Version(cell.version))
    }
}

/// The reason why a cell was not read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// Another thread has written the cell in the meantime.
    #[error("another writer was faster")]
    Conflict,
    /// The host refused the call.
    #[error("the host's shared memory failed")]
    Host,
}

/// Shared cells. Several threads may hold one of these on the same memory.
///
/// In addition to the cells there is one number, the *generation*, which is read without reading
/// any cell. A thread that has written something which others have to notice advances it
/// afterwards. While the generation is what it was before a cell was read, nothing was announced
/// since.
pub trait Cells {
    /// Reads a cell; `None` if it was never written.
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError>;

    /// Writes a cell, if `expect` holds.
    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError>;

    /// Returns the generation; `None` if the host keeps none, so that cells have to be read.
    fn generation(&self) -> Option<u64>;

    /// Gives the generation a value that it never had before. This takes effect before anything
    /// that follows.
    fn advance_generation(&self);
}

impl<C: Cells + ?Sized> Cells for &C {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        (**self).get(name)
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        (**self).set(name, bytes, expect)
    }

    fn generation(&self) -> Option<u64> {
        (**self).generation()
    }

    fn advance_generation(&self) {
        (**self).advance_generation();
    }
}

impl<C: Cells + ?Sized> Cells for std::rc::Rc<C> {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        (**self).get(name)
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        (**self).set(name, bytes, expect)
    }

    fn generation(&self) -> Option<u64> {
        (**self).generation()
    }

    fn advance_generation(&self) {
        (**self).advance_generation();
    }
}
