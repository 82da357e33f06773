//! What workers leave for each other beside the snapshot.

use crate::cells::{CellError, Cells, Expect};

/// When the snapshot was last known to be the newest, by the writer's clock.
const CONTACT: &str = "contact";

/// Tells all workers that the snapshot is the newest as of `now`.
pub fn note_contact(cells: &impl Cells, now: u64) -> Result<(), CellError> {
    let cell = cells.get(CONTACT)?;
    cells.set(CONTACT, &now.to_le_bytes(), Expect::unchanged(cell.as_ref()))
}

/// What was [noted](note_contact) last.
pub fn last_contact(cells: &impl Cells) -> Result<Option<u64>, CellError> {
    let cell = cells.get(CONTACT)?;
    Ok(cell.and_then(|cell| Some(u64::from_le_bytes(*cell.bytes.first_chunk()?))))
}

/// Written by a worker that finds the snapshot damaged; see [`report_damage`].
const DAMAGE: &str = "damage";

/// Asks whoever writes the snapshot for a new one.
pub fn report_damage(cells: &impl Cells) -> Result<(), CellError> {
    let cell = cells.get(DAMAGE)?;
    if cell.as_ref().is_some_and(|cell| !cell.bytes.is_empty()) {
        return Ok(());
    }
    cells.set(DAMAGE, &[1], Expect::unchanged(cell.as_ref()))
}

/// Whether a worker has [asked](report_damage) for a new snapshot since this was called last.
pub fn take_damage_report(cells: &impl Cells) -> Result<bool, CellError> {
    match cells.get(DAMAGE)? {
        Some(cell) if !cell.bytes.is_empty() => {
            cells.set(DAMAGE, &[], Expect::Version(cell.version))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
