//! Freeing the memory of tables that nobody reads any more.

use super::page::{Page, name};
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
    left: Vec<Kind>,
}

impl Sweep {
    /// Of all that was ever written on `side`.
    pub fn new(side: Side, term: u32) -> Self {
        Self { side, term, next: 0, left: vec![Kind::Routes, Kind::Policy, Kind::Key] }
    }

    /// Clears at most `pages` pages; true when there is nothing left.
    pub fn step(&mut self, cells: &impl Cells, pages: usize) -> Result<bool, WriteError> {
        for _ in 0..pages {
            let Some(kind) = self.left.last() else { return Ok(true) };
            let name = name(self.side, *kind, self.next);
            // Pages are made in order, so behind the first that never was there is none.
            let Some(cell) = cells.get(&name)? else {
                self.left.pop();
                self.next = 0;
                continue;
            };
            self.next = self.next.saturating_add(1);
            if Page::decode(&cell.bytes).is_ok_and(|page| page.term <= self.term) {
                cells.set(&name, &[], Expect::Version(cell.version))?;
            }
        }
        Ok(self.left.is_empty())
    }
}
