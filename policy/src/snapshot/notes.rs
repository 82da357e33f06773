//! Notes of workers for each other, beside the snapshot.

use crate::cell_names::snapshot_cell;
use crate::cells::{CellError, Cells, Expect};

/// The cell with the time at which the snapshot was last known to be the newest, by the monotonic
/// clock.
const CONTACT: &str = snapshot_cell!("contact");

/// The number of times that a note is tried while other workers write the cell first.
const ATTEMPTS: usize = 8;

/// Notes for all workers that the snapshot was the newest at `at`, unless a later time is noted.
pub fn note_contact(cells: &impl Cells, at: u64) -> Result<(), CellError> {
    for _ in 0..ATTEMPTS {
        let cell = cells.get(CONTACT)?;
        if cell
            .as_ref()
            .and_then(|cell| time(&cell.bytes))
            .is_some_and(|known| known >= at)
        {
            return Ok(());
        }
        match cells.set(CONTACT, &at.to_le_bytes(), Expect::unchanged(cell.as_ref())) {
            Err(CellError::Conflict) => {}
            noted => return noted,
        }
    }
    Err(CellError::Conflict)
}

fn time(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|time| u64::from_le_bytes(*time))
}

/// Returns the time that was [noted](note_contact) last.
pub fn last_contact(cells: &impl Cells) -> Result<Option<u64>, CellError> {
    let cell = cells.get(CONTACT)?;
    Ok(cell.and_then(|cell| time(&cell.bytes)))
}

/// The cell that a worker writes when it finds the snapshot damaged; see [`report_damage`].
const DAMAGE: &str = snapshot_cell!("damage");

/// Asks the writer of the snapshot for a new one.
pub fn report_damage(cells: &impl Cells) -> Result<(), CellError> {
    let cell = cells.get(DAMAGE)?;
    if cell.as_ref().is_some_and(|cell| !cell.bytes.is_empty()) {
        return Ok(());
    }
    cells.set(DAMAGE, &[1], Expect::unchanged(cell.as_ref()))
}

/// Returns whether a worker has [asked](report_damage) for a new snapshot, and none was published
/// since.
pub fn is_damaged(cells: &impl Cells) -> Result<bool, CellError> {
    Ok(cells
        .get(DAMAGE)?
        .is_some_and(|cell| !cell.bytes.is_empty()))
}

/// Notes that a whole snapshot was published. A report that comes at the same moment stays.
pub fn clear_damage(cells: &impl Cells) -> Result<(), CellError> {
    match cells.get(DAMAGE)? {
        Some(cell) if !cell.bytes.is_empty() => {
            cells.set(DAMAGE, &[], Expect::Version(cell.version))
        }
        _ => Ok(()),
    }
}
