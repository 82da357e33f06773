//! The meters of all keys in shared cells, and marks for those that have changed since they were
//! last reported.
//!
//! A key's meter is in the cell of the key's slot, so there are never more cells than keys that
//! lived at once. Any worker changes it, by compare-and-set, so that no change is lost when two
//! workers change it at once.
//!
//! A worker that has changed meters [marks](mark) them afterwards, in bitmaps over the slots. The
//! worker that reports clears the marks of the meters whose report has arrived, and sets those
//! again whose meter has changed in between. So a marked change is always reported in the end, and
//! a lost report costs nothing. Marks that a worker has not yet made when it crashes are made at
//! the next change.

mod reporter;

pub use reporter::{is_reporter, secret, stop_reporting};

use crate::cell_names;
use crate::cells::{Cell, CellError, Cells, Expect};
use crate::meter::{Meter, MeterError, Owner};
use crate::snapshot::Unavailable;

/// The number of times that a change is tried while other workers write the cell first. One of
/// those that try succeeds each time, so with a worker for each of a hundred cores this is never
/// reached.
const ATTEMPTS: usize = 10_000;

/// The number of slots in one bitmap.
const PAGE: u32 = 4096;

/// The bitmap of the bitmaps in which a bit is set.
const SUMMARY: &str = cell_names::meter_cell!("m");

fn meter_cell(slot: u32) -> String {
    format!(concat!(cell_names::meter_cell!("n"), "{:x}"), slot)
}

fn page_cell(page: u32) -> String {
    format!(concat!(cell_names::meter_cell!("m"), "{:x}"), page)
}

/// Changes the meter of `owner`; `None` if the slot now belongs to a later key. A meter that cannot
/// be trusted is reset, and this call fails.
pub fn change<T>(
    cells: &impl Cells,
    slot: u32,
    owner: Owner,
    mut change: impl FnMut(&mut Meter) -> T,
) -> Result<Option<T>, Unavailable> {
    let name = meter_cell(slot);
    for _ in 0..ATTEMPTS {
        let cell = cells.get(&name)?;
        let expect = Expect::unchanged(cell.as_ref());
        let mut meter = match Meter::from_cell(cell.as_ref().map(|cell| &*cell.bytes), owner) {
            Ok(meter) => meter,
            Err(MeterError::Superseded) => return Ok(None),
            Err(MeterError::Damaged) => {
                // If another worker was faster, it did the same.
                let _ = cells.set(&name, &Meter::new(owner).encode(), expect);
                return Err(Unavailable::Counters);
            }
        };
        let changed = change(&mut meter);
        match cells.set(&name, &meter.encode(), expect) {
            Ok(()) => return Ok(Some(changed)),
            Err(CellError::Conflict) => {}
            Err(CellError::Host) => return Err(Unavailable::Host),
        }
    }
    Err(Unavailable::Host)
}

/// Returns the meter in a slot, of any key and if it can be read, and the version of its cell,
/// which is 0 if there is none.
pub fn read(cells: &impl Cells, slot: u32) -> Result<(Option<Meter>, u32), CellError> {
    let cell = cells.get(&meter_cell(slot))?;
    Ok(cell.map_or((None, 0), |cell| {
        (Meter::decode(&cell.bytes).ok(), cell.version)
    }))
}

/// Marks the meters of `slots`, in ascending order, as changed.
pub fn mark(cells: &impl Cells, slots: &[u32]) -> Result<(), CellError> {
    for slots in slots.chunk_by(|a, b| a / PAGE == b / PAGE) {
        let page = slots.first().copied().unwrap_or_default() / PAGE;
        update(cells, &page_cell(page), |bits| {
            slots.iter().for_each(|slot| set(bits, slot % PAGE));
        })?;
        // The summary is written after the page, because `clear` reads the page after it has
        // written the summary.
        update(cells, SUMMARY, |bits| set(bits, page))?;
    }
    Ok(())
}

/// Returns at most `limit` slots from `from` on that are marked, in ascending order.
pub fn marked(cells: &impl Cells, from: u32, limit: usize) -> Result<Vec<u32>, CellError> {
    let mut slots = Vec::new();
    for page in ones(&bits(cells.get(SUMMARY)?)).filter(|page| *page >= from / PAGE) {
        let first = page.saturating_mul(PAGE);
        let of_page = ones(&bits(cells.get(&page_cell(page))?))
            .map(|bit| first.saturating_add(bit))
            .collect::<Vec<_>>();
        slots.extend(of_page.into_iter().filter(|slot| *slot >= from));
        if slots.len() >= limit {
            break;
        }
    }

    slots.truncate(limit);
    Ok(slots)
}

/// Clears the marks of `reported`: slots, in ascending order, with the version that the meter's
/// cell had. Slots whose meters have changed since stay marked.
pub fn clear(cells: &impl Cells, reported: &[(u32, u32)]) -> Result<(), CellError> {
    for reported in reported.chunk_by(|(a, _), (b, _)| a / PAGE == b / PAGE) {
        let page = reported.first().map(|(slot, _)| *slot).unwrap_or_default() / PAGE;
        let name = page_cell(page);
        let empty = update(cells, &name, |bits| {
            reported
                .iter()
                .for_each(|(slot, _)| unset(bits, slot % PAGE));
            is_empty(bits)
        })?;
        if empty {
            update(cells, SUMMARY, |bits| unset(bits, page))?;
            // A worker that marked a slot in between may still have seen the page in the summary.
            if !is_empty(&bits(cells.get(&name)?)) {
                update(cells, SUMMARY, |bits| set(bits, page))?;
            }
        }
        let mut moved = Vec::new();
        for (slot, version) in reported {
            if cells
                .get(&meter_cell(*slot))?
                .is_some_and(|cell| cell.version != *version)
            {
                moved.push(*slot);
            }
        }
        mark(cells, &moved)?;
    }
    Ok(())
}

fn update<T>(
    cells: &impl Cells,
    name: &str,
    mut change: impl FnMut(&mut Vec<u8>) -> T,
) -> Result<T, CellError> {
    for _ in 0..ATTEMPTS {
        let cell = cells.get(name)?;
        let expect = Expect::unchanged(cell.as_ref());
        let before = bits(cell);
        let mut bits = before.clone();
        let result = change(&mut bits);
        if bits == before {
            return Ok(result);
        }
        match cells.set(name, &bits, expect) {
            Ok(()) => return Ok(result),
            Err(CellError::Conflict) => {}
            Err(CellError::Host) => return Err(CellError::Host),
        }
    }
    Err(CellError::Conflict)
}

fn bits(cell: Option<Cell>) -> Vec<u8> {
    cell.map(|cell| cell.bytes).unwrap_or_default()
}

fn place(bit: u32) -> (usize, u8) {
    (
        usize::try_from(bit / 8).unwrap_or(usize::MAX),
        1 << (bit % 8),
    )
}

fn set(bits: &mut Vec<u8>, bit: u32) {
    let (at, mask) = place(bit);
    if bits.len() <= at {
        bits.resize(at.saturating_add(1), 0);
    }
    bits.iter_mut()
        .skip(at)
        .take(1)
        .for_each(|byte| *byte |= mask);
}

fn unset(bits: &mut [u8], bit: u32) {
    let (at, mask) = place(bit);
    bits.iter_mut()
        .skip(at)
        .take(1)
        .for_each(|byte| *byte &= !mask);
}

fn is_empty(bits: &[u8]) -> bool {
    bits.iter().all(|byte| *byte == 0)
}

fn ones(bits: &[u8]) -> impl Iterator<Item = u32> {
    (0u32..).step_by(8).zip(bits).flat_map(|(first, byte)| {
        (0..8)
            .filter(move |bit| byte & (1 << bit) != 0)
            .map(move |bit| first.saturating_add(bit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Limits;
    use crate::test_util::MemoryCells;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const OWNER: Owner = Owner {
        epoch: [1; 4],
        key: 7,
    };

    fn admit(cells: &MemoryCells, slot: u32, limit: u32) -> bool {
        let limits = Limits::default().with(crate::limit::Window::Day, Some(limit));
        change(cells, slot, OWNER, |meter| {
            meter.admit(&limits, 1_000_000).admitted()
        })
        .unwrap()
        .unwrap()
    }

    fn version(cells: &MemoryCells, slot: u32) -> u32 {
        read(cells, slot).unwrap().1
    }

    #[test]
    fn workers_never_share_an_admission() {
        let cells = MemoryCells::default();
        assert_eq!(
            [
                admit(&cells, 3, 2),
                admit(&cells, 3, 2),
                admit(&cells, 3, 2)
            ],
            [true, true, false]
        );
        assert!(admit(&cells, 4, 2), "another slot");
    }

    #[test]
    fn overtaken_change_is_retried() {
        let cells = MemoryCells::default();
        let mut rounds = 0;
        let limits = Limits::default();
        change(&cells, 3, OWNER, |meter| {
            rounds += 1;
            if rounds < 4 {
                admit(&cells, 3, 9);
            }
            meter.admit(&limits, 1_000_000)
        })
        .unwrap();
        let requests = read(&cells, 3).unwrap().0.unwrap().requests()[0];
        assert_eq!((rounds, requests), (4, 4), "none is lost");
    }

    #[test]
    fn damaged_meter_refuses_and_restarts() {
        let cells = MemoryCells::default();
        admit(&cells, 3, 9);
        cells.tamper(|_, bytes| bytes[9] ^= 1);
        let limits = Limits::default();
        let tried = change(&cells, 3, OWNER, |meter| meter.admit(&limits, 1_000_000));
        assert_eq!(tried.err(), Some(Unavailable::Counters));
        assert_eq!(
            read(&cells, 3).unwrap().0,
            Some(Meter::new(OWNER)),
            "it has counted nothing"
        );
        assert!(admit(&cells, 3, 9));
    }

    #[test]
    fn marks_stay_until_reported() {
        let cells = MemoryCells::default();
        let slots = [0, 7, 8, 4095, 4096, 1_000_000];
        for slot in slots {
            admit(&cells, slot, 9);
        }
        mark(&cells, &slots).unwrap();
        mark(&cells, &[7]).unwrap();
        assert_eq!(marked(&cells, 0, 100).unwrap(), slots);
        assert_eq!(marked(&cells, 0, 5).unwrap(), slots[..5]);
        assert_eq!(marked(&cells, 8, 2).unwrap(), slots[2..4]);
        assert_eq!(marked(&cells, 4096, 9).unwrap(), slots[4..]);
        let mut reported: Vec<_> = slots
            .iter()
            .map(|slot| (*slot, version(&cells, *slot)))
            .collect();
        // One moves on before its report has arrived, and one is of another page.
        admit(&cells, 8, 9);
        let kept = reported.pop().unwrap();
        clear(&cells, &reported).unwrap();
        assert_eq!(marked(&cells, 0, 100).unwrap(), [8, 1_000_000]);
        clear(&cells, &[(8, version(&cells, 8)), kept]).unwrap();
        assert_eq!(marked(&cells, 0, 100).unwrap(), [0; 0]);
        let cells_so_far = cells.len();
        mark(&cells, &slots).unwrap();
        assert_eq!(cells.len(), cells_so_far, "cells are used again");
    }
}
