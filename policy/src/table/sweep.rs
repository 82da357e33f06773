//! Freeing the memory of tables that nobody reads any more.

use super::page::{Page, name};
use super::writer::MAX_FIRST_PAGES;
use super::{Side, WriteError};
use crate::cells::{Cells, Expect};
use crate::record::Kind;

/// Frees the memory of a side that is not read, a bounded number of pages at a time.
#[derive(Debug)]
pub struct Sweep {
    side: Side,
    /// The sweeper's: what a later one has written stays.
    term: u32,
    next: u32,
    /// Pages in front of the next that never were.
    missing: u32,
    left: Vec<Kind>,
}

impl Sweep {
    /// Of all that was ever written on `side`.
    pub fn new(side: Side, term: u32) -> Self {
        Self {
            side,
            term,
            next: 0,
            missing: 0,
            left: vec![Kind::Key, Kind::Policy, Kind::Routes],
        }
    }

    /// Clears at most `pages` pages; true when there is nothing left.
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

/// Behind so many pages that never were there is none. The first ones of a table are written in any
/// order, and perhaps not all, those behind them one after the other; tables of other kinds than
/// keys begin with one.
fn most_missing(kind: Kind) -> u32 {
    match kind {
        Kind::Key => MAX_FIRST_PAGES,
        Kind::Policy | Kind::Routes => 1,
    }
}
