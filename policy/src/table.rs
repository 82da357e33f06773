//! A hash table in shared cells that one writer changes under any number of readers.
//!
//! Linear hashing (Litwin, 1980): a table of `pages` pages holds a record in page `hash mod 2^level`, and grows by
//! splitting one page after the other, so that no change ever costs more than two pages. A page says which level it
//! is at; a reader whose idea of the table is older than a split follows that to the page that the record moved to.
//! The half that moves is written before the half that stays, so a record is never missing in between.
//!
//! # Two writers
//!
//! A worker that was thought dead may wake up and go on writing. Every page carries the term of the worker that wrote it
//! last and is only replaced if it has not changed since it was read; a page of a later term is left alone, and
//! its finder told that it was [superseded](WriteError::Superseded). Every change writes its page, even a removal that finds
//! nothing, so that from then on an earlier term's change to the same record is refused.

use crate::cells::{Cell, CellError, Cells, Expect};
use crate::record::{Damaged, Kind, Records};
use std::fmt::Write as _;

const FORMAT: u8 = 1;
const HEADER_LEN: usize = 12;

/// Records a page holds on average before the table grows.
pub const RECORDS_PER_PAGE: u64 = 16;

/// The most pages a table has: a billion records.
const MAX_PAGES: u32 = 1 << 26;

/// The most pages that a new table begins with, enough for a million records: making them all is one piece of work.
const MAX_FIRST_PAGES: u32 = 1 << 16;

/// One of the two places of a snapshot: one is read while the other is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The other.
    B,
}

impl Side {
    /// Where the next snapshot is built.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Which table is meant, at which size: all that a reader needs to find a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// What it holds.
    pub kind: Kind,
    /// Where it is.
    pub side: Side,
    /// Tells the table from an earlier one at the same place.
    pub load: u32,
    /// Pages so far. At least 1.
    pub pages: u32,
}

/// Why a look-up has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The table is no longer at this place: look at the snapshot's head again. If that has not changed, it is damage.
    #[error("the table is not there")]
    Gone,
    /// The page or the record cannot be trusted.
    #[error("damaged page")]
    Damaged,
    /// The host refused.
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

/// Why a change did not happen, or not wholly. The writer gives up its term; the next one begins from the last
/// published revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another worker has taken over.
    #[error("another worker has taken over")]
    Superseded,
    /// A page cannot be trusted: only a new snapshot helps.
    #[error("damaged page")]
    Damaged,
    /// The host refused.
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

/// A page's header, and the records after it.
struct Page<'a> {
    level: u32,
    load: u32,
    term: u32,
    records: &'a [u8],
}

impl<'a> Page<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let (header, records) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(Damaged)?;
        let [format, level, _, _, l0, l1, l2, l3, t0, t1, t2, t3] = *header;
        if format != FORMAT || level > 63 {
            return Err(Damaged);
        }
        Ok(Self {
            level: u32::from(level),
            load: u32::from_le_bytes([l0, l1, l2, l3]),
            term: u32::from_le_bytes([t0, t1, t2, t3]),
            records,
        })
    }

    fn begin(level: u32, load: u32, term: u32, capacity: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN.saturating_add(capacity));
        // There are never more than 64 levels.
        bytes.extend_from_slice(&[FORMAT, u8::try_from(level).unwrap_or(u8::MAX), 0, 0]);
        bytes.extend_from_slice(&load.to_le_bytes());
        bytes.extend_from_slice(&term.to_le_bytes());
        bytes
    }
}

impl Table {
    /// Finds the record with this identifier.
    pub fn find(&self, cells: &impl Cells, id: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let hash = self.kind.hash(id);
        let mut index = self.index_of(hash);
        // Each turn follows at least one split, of which there are no more than levels.
        for _ in 0..=u64::BITS {
            let cell = cells.get(&name(self.side, self.kind, index))?.ok_or(ReadError::Gone)?;
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

    fn index_of(&self, hash: u64) -> u32 {
        let pages = u64::from(self.pages.max(1));
        let level = pages.ilog2();
        let index = index_at_level(hash, level.saturating_add(1));
        // The upper half at the next level exists only as far as splitting has come.
        let index = if index < pages { index } else { index_at_level(hash, level) };
        u32::try_from(index).unwrap_or_default()
    }
}

/// The page at `level`: the hash's low bits.
fn index_at_level(hash: u64, level: u32) -> u64 {
    let mask = 1u64.checked_shl(level).map_or(u64::MAX, |bit| bit.saturating_sub(1));
    hash & mask
}

/// The level of page `index` in a table of `pages` pages: one more than the table's where it was split already.
fn level_of(index: u32, pages: u32) -> u32 {
    let next = Split::of(pages);
    let is_split = index < next.old || index >= pages.saturating_sub(next.old);
    if is_split { next.level } else { next.level.saturating_sub(1) }
}

/// Short enough for the host's string type to need no heap.
fn name(side: Side, kind: Kind, index: u32) -> String {
    let side = if side == Side::A { 'a' } else { 'b' };
    let kind = if kind == Kind::Key { 'k' } else { 'p' };
    let mut name = String::with_capacity(12);
    // Writing into a String cannot fail.
    let _ = write!(name, "{side}{kind}{index:x}");
    name
}

/// Changes a table. Readers see each change as soon as it returns.
#[derive(Debug)]
pub struct TableWriter {
    table: Table,
    term: u32,
    /// How many records the table holds, give or take those that a predecessor was interrupted at.
    records: u64,
    /// The page that was changed last, not yet written: records in hash order come page by page.
    open: Option<OpenPage>,
}

#[derive(Debug)]
struct OpenPage {
    index: u32,
    level: u32,
    expect: Expect,
    records: Vec<u8>,
}

impl TableWriter {
    /// Goes on with a table that is there. A predecessor may have split pages and not lived to publish it: those
    /// splits are taken over.
    pub fn resume(cells: &impl Cells, table: Table, term: u32, records: u64) -> Result<Self, WriteError> {
        let mut writer = Self { table, term, records, open: None };
        loop {
            let next = Split::of(writer.table.pages);
            let old = name(table.side, table.kind, next.old);
            let old = cells.get(&old)?.ok_or(WriteError::Damaged)?;
            if writer.table.pages >= MAX_PAGES || writer.check(&old)?.level < next.level {
                return Ok(writer);
            }
            writer.table.pages = writer.table.pages.saturating_add(1);
        }
    }

    /// Makes a table anew, large enough for `expected` records or a million. `table.pages` is overwritten.
    pub fn create(cells: &impl Cells, table: Table, term: u32, expected: u64) -> Result<Self, WriteError> {
        let pages = expected.div_ceil(RECORDS_PER_PAGE).max(1);
        let pages = u32::try_from(pages).unwrap_or(u32::MAX).min(MAX_FIRST_PAGES);
        let table = Table { pages, ..table };
        let writer = Self { table, term, records: 0, open: None };
        for index in 0..pages {
            writer.replace(cells, index, level_of(index, pages), &[])?;
        }
        Ok(writer)
    }

    /// The table as it now is.
    pub fn table(&self) -> Table {
        self.table
    }

    /// About how many records it holds.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Adds a record, or puts it in the place of the one with the same identifier.
    pub fn upsert(&mut self, cells: &impl Cells, id: &[u8], record: &[u8]) -> Result<(), WriteError> {
        if self.change(cells, id, Some(record))? {
            return Ok(());
        }
        self.records = self.records.saturating_add(1);
        if self.records > u64::from(self.table.pages).saturating_mul(RECORDS_PER_PAGE) && self.table.pages < MAX_PAGES {
            self.flush(cells)?;
            self.split(cells)?;
        }
        Ok(())
    }

    /// Takes out the record with this identifier, if it is there.
    pub fn remove(&mut self, cells: &impl Cells, id: &[u8]) -> Result<(), WriteError> {
        if self.change(cells, id, None)? {
            self.records = self.records.saturating_sub(1);
        }
        Ok(())
    }

    /// Writes what is not yet written. Only after this does a reader see the last changes.
    pub fn flush(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let mut page = Page::begin(open.level, self.table.load, self.term, open.records.len());
        page.extend_from_slice(&open.records);
        Ok(cells.set(&name(self.table.side, self.table.kind, open.index), &page, open.expect)?)
    }

    /// Whether a record with this identifier was there before.
    fn change(&mut self, cells: &impl Cells, id: &[u8], with: Option<&[u8]>) -> Result<bool, WriteError> {
        let index = self.table.index_of(self.table.kind.hash(id));
        if self.open.as_ref().is_none_or(|open| open.index != index) {
            self.flush(cells)?;
            self.open = Some(self.read(cells, index, level_of(index, self.table.pages))?);
        }
        let Some(open) = &mut self.open else { return Err(WriteError::Damaged) };
        let before = take(self.table.kind, &mut open.records, id)?;
        if let Some(record) = with {
            open.records.extend_from_slice(record);
        }
        Ok(before)
    }

    /// Reads a page that must be at `level`. One at another has been split by a predecessor that was not done yet when
    /// this writer resumed: records have moved to where this writer would not look for them.
    fn read(&self, cells: &impl Cells, index: u32, level: u32) -> Result<OpenPage, WriteError> {
        let cell = cells.get(&name(self.table.side, self.table.kind, index))?.ok_or(WriteError::Damaged)?;
        let page = self.check(&cell)?;
        if page.level != level {
            return Err(WriteError::Superseded);
        }
        Ok(OpenPage { index, level: page.level, expect: Expect::Version(cell.version), records: page.records.to_vec() })
    }

    fn check<'a>(&self, cell: &'a Cell) -> Result<Page<'a>, WriteError> {
        let page = Page::decode(&cell.bytes)?;
        if page.term > self.term {
            Err(WriteError::Superseded)
        } else if page.load != self.table.load {
            Err(WriteError::Damaged)
        } else {
            Ok(page)
        }
    }

    /// Splits the next page in turn.
    fn split(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        let Split { old, new, level } = Split::of(self.table.pages);
        let page = self.read(cells, old, level.saturating_sub(1))?;
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for record in Records::new(self.table.kind, &page.records) {
            let (id, record) = record?;
            let index = index_at_level(self.table.kind.hash(id), level);
            if index == u64::from(old) { &mut stay } else { &mut go }.extend_from_slice(record);
        }
        self.replace(cells, new, level, &go)?;
        self.open = Some(OpenPage { level, records: stay, ..page });
        self.flush(cells)?;
        self.table.pages = new.saturating_add(1);
        Ok(())
    }

    /// Writes a page whatever it held, unless a later term did.
    fn replace(&self, cells: &impl Cells, index: u32, level: u32, records: &[u8]) -> Result<(), WriteError> {
        let name = name(self.table.side, self.table.kind, index);
        let cell = cells.get(&name)?;
        if let Some(Ok(page)) = cell.as_ref().map(|cell| Page::decode(&cell.bytes))
            && page.term > self.term
        {
            return Err(WriteError::Superseded);
        }
        let mut page = Page::begin(level, self.table.load, self.term, records.len());
        page.extend_from_slice(records);
        Ok(cells.set(&name, &page, Expect::unchanged(cell.as_ref()))?)
    }
}

/// The split that comes next in a table.
struct Split {
    /// The page that is split, and keeps one half.
    old: u32,
    /// The page that gets the other half.
    new: u32,
    /// The level of both afterwards.
    level: u32,
}

impl Split {
    fn of(pages: u32) -> Self {
        let level = pages.max(1).ilog2();
        let half = 1u32.checked_shl(level).unwrap_or(pages);
        Self { old: pages.saturating_sub(half), new: pages, level: level.saturating_add(1) }
    }
}

/// Cuts the record with this identifier out of `records`.
fn take(kind: Kind, records: &mut Vec<u8>, id: &[u8]) -> Result<bool, Damaged> {
    let mut offset = 0usize;
    let mut found = None;
    for record in Records::new(kind, records) {
        let (candidate, record) = record?;
        let end = offset.saturating_add(record.len());
        if candidate == id {
            found = Some(offset..end);
        }
        offset = end;
    }
    match found {
        Some(range) => {
            records.drain(range);
            Ok(true)
        }
        None => Ok(false),
    }
}

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
        Self { side, term, next: 0, left: vec![Kind::Policy, Kind::Key] }
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
