//! Freeing the memory of tables that are no longer read.

use super::page::{Page, name};
use super::writer::MAX_FIRST_PAGES;
use super::{Side, WriteError};
use crate::cells::{Cells, Expect};
use crate::record::Kind;

/// Frees the memory of a side that is not read, a bounded number of pages at a time.
#[derive(Debug)]
pub struct Sweep {
    side: Side,
    /// The sweeper's term: pages that a later term has written stay.
    term: u32,
    next: u32,
    /// The number of pages directly before `next` that were never written.
    missing: u32,
    left: Vec<Kind>,
}

impl Sweep {
    /// Creates a sweep of all pages that were ever written on `side`.
    pub fn new(side: Side, term: u32) -> Self {
        Self {
            side,
            term,
            next: 0,
            missing: 0,
            left: vec![Kind::Key, Kind::Policy, Kind::Routes],
        }
    }

    /// Clears at most `pages` pages. Returns true if there are none left.
    pub fn step(&mut self, cells: &impl Cells, pages: usize) -> Result<bool, WriteError> {
        for _ in 0..pages {
            let Some(kind) = self.left.last() else {
                return Ok(true);
            };
            let name = name(self.side, *kind, self.next);
            self.next = self.next.saturating_add(1);
            let Some(cell) = cells.get(&name)? else {
                self.missing = self.missing.saturating_add(1);
                if self.missing >= most_missing(*kind) {
                    self.left.pop();
                    (self.next, self.missing) = (0, 0);
                }
                continue;
            };
            self.missing = 0;
            if Page::decode(&cell.bytes).is_ok_and(|page| page.term <= self.term) {
                cells.set(&name, &[], Expect::Version(cell.version))?;
            }
        }

        Ok(self.left.is_empty())
    }
}

/// Returns the number of unwritten pages in a row after which a table has no further pages. The
/// first pages of a table are written in any order, and perhaps not all; the later ones are written
/// one after the other. Tables of other kinds than keys begin with one page.
fn most_missing(kind: Kind) -> u32 {
    match kind {
        Kind::Key => MAX_FIRST_PAGES,
        Kind::Policy | Kind::Routes => 1,
    }
}
