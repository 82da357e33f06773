//! The progress of loading a whole snapshot: the part that is in memory when the stream breaks off
//! need not be sent again.
//!
//! The cell belongs to the newest term. A writer that begins a load, continues one or follows by
//! changes writes it first. So a writer that was thought dead cannot vouch for pages that another
//! writer has since changed.

use super::Epoch;
use crate::cell_names::snapshot_cell;
use crate::cells::{Cell, Cells, Expect};
use crate::record::{Damaged, Fields, Kind};
use crate::table::{Side, Table, TableWriter, WriteError};

const CELL: &str = snapshot_cell!("progress");
const CRC_LEN: usize = 4;

/// The name of the control plane's data for a whole snapshot: batches of the same image are the
/// same.
pub type Image = [u8; 16];

/// The state of the tables when the load was interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) image: Image,
    /// The number of batches of the image that are in memory.
    pub(super) batches: u64,
    pub(super) epoch: Epoch,
    pub(super) side: Side,
    pub(super) load: u32,
    pub(super) rerouted: u32,
    /// The extents of the route rules, the policies and the keys.
    pub(super) tables: [Extent; 3],
}

/// The extent of a table so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) pages: u32,
    pub(super) records: u64,
    /// A bit for each of the first pages, set while it is not written.
    pub(super) unwritten: Vec<u8>,
}

impl Extent {
    /// Creates the extent of the table that `writer` writes.
    pub(super) fn from_writer(writer: &TableWriter) -> Self {
        Self {
            pages: writer.table().pages,
            records: writer.records(),
            unwritten: writer.unwritten_bits(),
        }
    }

    /// Returns the writer that continues with the table.
    pub(super) fn restore(
        &self,
        cells: &impl Cells,
        kind: Kind,
        progress: &Progress,
        term: u32,
    ) -> Result<TableWriter, WriteError> {
        let table = Table {
            kind,
            side: progress.side,
            load: progress.load,
            pages: self.pages,
        };
        TableWriter::restore(cells, table, term, self.records, &self.unwritten)
    }
}

/// The cell's content: the progress, if there is any, and its term.
struct Content {
    term: u32,
    progress: Option<Progress>,
}

/// Returns the progress that a predecessor left.
pub(super) fn read(cells: &impl Cells) -> Result<Option<Progress>, WriteError> {
    Ok(cells
        .get(CELL)?
        .and_then(|cell| Content::decode(&cell.bytes).ok())
        .and_then(|content| content.progress))
}

/// Writes the progress of the writer of `term`, or that it has none. With `expected`, the cell has
/// to contain that progress.
pub(super) fn write(
    cells: &impl Cells,
    term: u32,
    progress: Option<&Progress>,
    expected: Option<&Progress>,
) -> Result<(), WriteError> {
    let cell = cells.get(CELL)?;
    let content = cell
        .as_ref()
        .and_then(|cell: &Cell| Content::decode(&cell.bytes).ok());
    let is_later = content.as_ref().is_some_and(|content| content.term > term);
    let is_other =
        expected.is_some() && content.and_then(|content| content.progress).as_ref() != expected;
    if is_later || is_other {
        return Err(WriteError::Superseded);
    }

    cells.set(
        CELL,
        &encode(term, progress),
        Expect::unchanged(cell.as_ref()),
    )?;
    Ok(())
}

fn encode(term: u32, progress: Option<&Progress>) -> Vec<u8> {
    let mut out = term.to_le_bytes().to_vec();
    if let Some(progress) = progress {
        out.extend_from_slice(&progress.image);
        out.extend_from_slice(&progress.epoch);
        out.extend_from_slice(&progress.batches.to_le_bytes());
        out.push(u8::from(progress.side == Side::B));
        out.extend_from_slice(&progress.load.to_le_bytes());
        out.extend_from_slice(&progress.rerouted.to_le_bytes());
        for Extent {
            pages,
            records,
            unwritten,
        } in &progress.tables
        {
            out.extend_from_slice(&pages.to_le_bytes());
            out.extend_from_slice(&records.to_le_bytes());
            // There are at most 65,536 first pages.
            out.extend_from_slice(
                &u32::try_from(unwritten.len())
                    .unwrap_or_default()
                    .to_le_bytes(),
            );
            out.extend_from_slice(unwritten);
        }
    }

    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

impl Content {
    fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (content, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(Damaged)?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return Err(Damaged);
        }

        let mut fields = Fields(content);
        let term = u32::from_le_bytes(fields.array()?);

        if fields.0.is_empty() {
            return Ok(Self {
                term,
                progress: None,
            });
        }

        let (image, epoch) = (fields.array()?, fields.array()?);
        let batches = u64::from_le_bytes(fields.array()?);
        let [side] = fields.array()?;
        let side = if side == 0 { Side::A } else { Side::B };
        let (load, rerouted) = (
            u32::from_le_bytes(fields.array()?),
            u32::from_le_bytes(fields.array()?),
        );
        let mut extent = || {
            let (pages, records) = (
                u32::from_le_bytes(fields.array()?),
                u64::from_le_bytes(fields.array()?),
            );
            let len = usize::try_from(u32::from_le_bytes(fields.array()?)).map_err(|_| Damaged)?;
            let (unwritten, rest) = fields.0.split_at_checked(len).ok_or(Damaged)?;
            fields.0 = rest;
            Ok(Extent {
                pages,
                records,
                unwritten: unwritten.to_vec(),
            })
        };

        let tables = [extent()?, extent()?, extent()?];
        fields.finish()?;

        Ok(Self {
            term,
            progress: Some(Progress {
                image,
                batches,
                epoch,
                side,
                load,
                rerouted,
                tables,
            }),
        })
    }
}
