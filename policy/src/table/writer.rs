//! Changing a table: one page for most changes, two when it grows.

use super::page::{Page, index_at_level, name};
use super::{RECORDS_PER_PAGE, Table, WriteError};
use crate::cells::{Cell, Cells, Expect};
use crate::record::{Damaged, Kind, Records};

/// The highest number of pages of a table: a billion records.
const MAX_PAGES: u32 = 1 << 26;

/// The highest number of pages that a new table begins with, enough for a million records.
pub(super) const MAX_FIRST_PAGES: u32 = 1 << 16;

/// Returns the level of page `index` in a table of `pages` pages: the table's level, or one more if
/// the page has already been split.
fn level_of(index: u32, pages: u32) -> u32 {
    let next = Split::for_pages(pages);
    let is_split = index < next.old || index >= pages.saturating_sub(next.old);
    if is_split {
        next.level
    } else {
        next.level.saturating_sub(1)
    }
}

/// The writer of a table. Readers see a change once its page is written, at the latest by
/// [`Self::flush`].
#[derive(Debug)]
pub struct TableWriter {
    table: Table,
    term: u32,
    /// The number of records in the table, except for changes that a predecessor was interrupted
    /// at.
    records: u64,
    /// The page that was changed last and is not yet written: records in hash order come page by
    /// page.
    open: Option<OpenPage>,
    /// One flag per page that a new table begins with: true if the page has not been written. Such
    /// a page counts as empty, with any content of its cell.
    unwritten: Vec<bool>,
}

#[derive(Debug)]
struct OpenPage {
    index: u32,
    level: u32,
    expect: Expect,
    records: Vec<u8>,
}

impl TableWriter {
    /// Continues with an existing table. A predecessor may have split pages and ended before it
    /// published them: those splits are taken over.
    pub fn resume(
        cells: &impl Cells,
        table: Table,
        term: u32,
        records: u64,
    ) -> Result<Self, WriteError> {
        Self {
            table,
            term,
            records,
            open: None,
            unwritten: Vec::new(),
        }
        .take_over_splits(cells)
    }

    /// Continues with a new table that is not complete yet. Of its first pages, those in
    /// `unwritten` have not been written.
    pub(crate) fn restore(
        cells: &impl Cells,
        table: Table,
        term: u32,
        records: u64,
        unwritten: &[u8],
    ) -> Result<Self, WriteError> {
        let unwritten = unwritten
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte & (1 << bit) != 0))
            .collect();
        Self {
            table,
            term,
            records,
            open: None,
            unwritten,
        }
        .take_over_splits(cells)
    }

    fn take_over_splits(mut self, cells: &impl Cells) -> Result<Self, WriteError> {
        loop {
            let next = Split::for_pages(self.table.pages);
            // The records that a predecessor wrote into a page that counts as unwritten are sent
            // again.
            if self.table.pages >= MAX_PAGES || self.is_unwritten(next.old) {
                return Ok(self);
            }
            let old = cells
                .get(&name(self.table.side, self.table.kind, next.old))?
                .ok_or(WriteError::Damaged)?;
            if self.check(&old)?.level < next.level {
                return Ok(self);
            }
            self.table.pages = self.table.pages.saturating_add(1);
        }
    }

    /// Returns a bit for each of the first pages of a new table, set while the page is not written.
    pub(crate) fn unwritten_bits(&self) -> Vec<u8> {
        if !self.unwritten.contains(&true) {
            return Vec::new();
        }
        let byte = |pages: &[bool]| {
            pages
                .iter()
                .rev()
                .fold(0, |byte, unwritten| byte << 1 | u8::from(*unwritten))
        };
        self.unwritten.chunks(8).map(byte).collect()
    }

    /// Creates a new table, large enough for `expected` records or a million. `table.pages` is
    /// overwritten. Readers must not use it until it is [complete](Self::complete). Nothing is
    /// written yet, because writing all pages at once would delay a worker.
    pub fn create(table: Table, term: u32, expected: u64) -> Self {
        let pages = expected.div_ceil(RECORDS_PER_PAGE).max(1);
        let pages = u32::try_from(pages)
            .unwrap_or(u32::MAX)
            .min(MAX_FIRST_PAGES);
        let unwritten = vec![true; usize::try_from(pages).unwrap_or_default()];

        Self {
            table: Table { pages, ..table },
            term,
            records: 0,
            open: None,
            unwritten,
        }
    }

    /// Returns the table at its present size.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Returns the number of records, approximately.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Adds a record, or replaces the one with the same identifier.
    pub fn upsert(
        &mut self,
        cells: &impl Cells,
        id: &[u8],
        record: &[u8],
    ) -> Result<(), WriteError> {
        if self.change(cells, id, Some(record))? {
            return Ok(());
        }
        self.records = self.records.saturating_add(1);
        if self.records > u64::from(self.table.pages).saturating_mul(RECORDS_PER_PAGE)
            && self.table.pages < MAX_PAGES
        {
            self.flush(cells)?;
            self.split(cells)?;
        }
        Ok(())
    }

    /// Removes the record with this identifier, if it is there.
    pub fn remove(&mut self, cells: &impl Cells, id: &[u8]) -> Result<(), WriteError> {
        if self.change(cells, id, None)? {
            self.records = self.records.saturating_sub(1);
        }
        Ok(())
    }

    /// Writes the changes that are not yet written. Only then does a reader see the last changes.
    pub fn flush(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        self.write(cells, open.index, open.level, &open.records, open.expect)
    }

    /// Writes the pages of a new table that have no records.
    pub fn complete(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        self.flush(cells)?;
        for (index, _) in (0..)
            .zip(std::mem::take(&mut self.unwritten))
            .filter(|(_, unwritten)| *unwritten)
        {
            self.replace(cells, index, level_of(index, self.table.pages), &[])?;
        }
        Ok(())
    }

    /// Replaces the record with this identifier by `with`, or removes it. Returns whether it was
    /// there before.
    fn change(
        &mut self,
        cells: &impl Cells,
        id: &[u8],
        with: Option<&[u8]>,
    ) -> Result<bool, WriteError> {
        let index = self.table.index_of(self.table.kind.hash(id));
        if self.open.as_ref().is_none_or(|open| open.index != index) {
            self.flush(cells)?;
            self.open = Some(self.read(cells, index, level_of(index, self.table.pages))?);
        }

        let Some(open) = &mut self.open else {
            return Err(WriteError::Damaged);
        };
        let before = take(self.table.kind, &mut open.records, id)?;
        if let Some(record) = with {
            open.records.extend_from_slice(record);
        }
        Ok(before)
    }

    /// Reads a page that must be at `level`. A page at another level has been split by a
    /// predecessor that was not done yet when this writer resumed: records have moved to where this
    /// writer would not look for them.
    fn read(&self, cells: &impl Cells, index: u32, level: u32) -> Result<OpenPage, WriteError> {
        if self.is_unwritten(index) {
            return Ok(OpenPage {
                index,
                level,
                expect: self.replaceable(cells, index)?,
                records: Vec::new(),
            });
        }

        let cell = cells
            .get(&name(self.table.side, self.table.kind, index))?
            .ok_or(WriteError::Damaged)?;
        let page = self.check(&cell)?;
        if page.level != level {
            return Err(WriteError::Superseded);
        }

        Ok(OpenPage {
            index,
            level: page.level,
            expect: Expect::Version(cell.version),
            records: page.records.to_vec(),
        })
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
        let Split { old, new, level } = Split::for_pages(self.table.pages);
        let page = self.read(cells, old, level.saturating_sub(1))?;
        let (mut stay, mut go) = (Vec::new(), Vec::new());

        for record in Records::new(self.table.kind, &page.records) {
            let (id, record) = record?;
            let index = index_at_level(self.table.kind.hash(id), level);
            if index == u64::from(old) {
                &mut stay
            } else {
                &mut go
            }
            .extend_from_slice(record);
        }

        self.replace(cells, new, level, &go)?;
        self.open = Some(OpenPage {
            level,
            records: stay,
            ..page
        });
        self.flush(cells)?;
        self.table.pages = new.saturating_add(1);
        Ok(())
    }

    /// Writes a page with any former content, unless a later term has written it.
    fn replace(
        &mut self,
        cells: &impl Cells,
        index: u32,
        level: u32,
        records: &[u8],
    ) -> Result<(), WriteError> {
        let expect = self.replaceable(cells, index)?;
        self.write(cells, index, level, records, expect)
    }

    fn replaceable(&self, cells: &impl Cells, index: u32) -> Result<Expect, WriteError> {
        let cell = cells.get(&name(self.table.side, self.table.kind, index))?;
        match cell.as_ref().map(|cell| Page::decode(&cell.bytes)) {
            Some(Ok(page)) if page.term > self.term => Err(WriteError::Superseded),
            _ => Ok(Expect::unchanged(cell.as_ref())),
        }
    }

    fn write(
        &mut self,
        cells: &impl Cells,
        index: u32,
        level: u32,
        records: &[u8],
        expect: Expect,
    ) -> Result<(), WriteError> {
        let mut page = Page::begin(level, self.table.load, self.term, records.len());
        page.extend_from_slice(records);
        cells.set(
            &name(self.table.side, self.table.kind, index),
            &page,
            expect,
        )?;
        if let Some(unwritten) = usize::try_from(index)
            .ok()
            .and_then(|index| self.unwritten.get_mut(index))
        {
            *unwritten = false;
        }
        Ok(())
    }

    fn is_unwritten(&self, index: u32) -> bool {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.unwritten.get(index))
            .is_some_and(|unwritten| *unwritten)
    }
}

/// The next split of a table.
struct Split {
    /// The page that is split, and keeps one half.
    old: u32,
    /// The page that gets the other half.
    new: u32,
    /// The level of both afterwards.
    level: u32,
}

impl Split {
    /// Creates the next split of a table of this many pages.
    fn for_pages(pages: u32) -> Self {
        let level = pages.max(1).ilog2();
        let half = 1u32.checked_shl(level).unwrap_or(pages);
        Self {
            old: pages.saturating_sub(half),
            new: pages,
            level: level.saturating_add(1),
        }
    }
}

/// Removes the record with this identifier from `records`. Returns whether it was there.
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
