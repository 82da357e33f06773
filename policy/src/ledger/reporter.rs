//! The election of the session that reports the meters, among those that share them.
//!
//! While Envoy replaces a filter by one with another record format, there are two snapshots in the
//! process, each with its session, and one set of meters. One session reports. Another takes over
//! when the reporting session has not renewed its role for [`EXPIRY`].

use crate::cell_names::meter_cell;
use crate::cells::{CellError, Cells, Expect};
use crate::record::FORMAT;
use crate::snapshot::secret_in;

const ROLE: &str = meter_cell!("reporter");
const SECRET: &str = meter_cell!("secret");

/// The time for which the role is kept without being renewed, in nanoseconds.
const EXPIRY: u64 = 3_000_000_000;

/// A role that was renewed less than this long ago is not written again.
const PAUSE: u64 = 500_000_000;

/// Returns the secret of the meters' memory, under which usage is reported: the one that was stored
/// first, which is `fresh` if there was none.
pub fn secret(cells: &impl Cells, fresh: [u8; 16]) -> Result<[u8; 16], CellError> {
    secret_in(cells, SECRET, fresh)
}

/// The session that reports, and the time at which it last renewed its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Role {
    format: u32,
    term: u32,
    renewed_at: u64,
}

impl Role {
    fn encode(self) -> Vec<u8> {
        let mut out = self.format.to_le_bytes().to_vec();
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(&self.renewed_at.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [format, term, low, high] = *bytes.as_chunks::<4>().0 else {
            return None;
        };
        let renewed_at =
            u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32;
        Some(Self {
            format: u32::from_le_bytes(format),
            term: u32::from_le_bytes(term),
            renewed_at,
        })
    }
}

/// Returns whether the session of the snapshot's term `term` reports, at `now` by the monotonic
/// clock. Takes the role if it is free, or was an earlier session's of the same snapshot.
pub fn is_reporter(cells: &impl Cells, term: u32, now: u64) -> Result<bool, CellError> {
    is_reporter_of(cells, FORMAT, term, now)
}

fn is_reporter_of(cells: &impl Cells, format: u32, term: u32, now: u64) -> Result<bool, CellError> {
    let cell = cells.get(ROLE)?;
    if let Some(role) = cell.as_ref().and_then(|cell| Role::decode(&cell.bytes)) {
        let is_own = (role.format, role.term) == (format, term);
        let age = now.abs_diff(role.renewed_at);
        if is_own && age < PAUSE {
            return Ok(true);
        }
        let is_predecessors = role.format == format && role.term < term;
        if !is_own && !is_predecessors && age <= EXPIRY {
            return Ok(false);
        }
    }

    match cells.set(
        ROLE,
        &Role {
            format,
            term,
            renewed_at: now,
        }
        .encode(),
        Expect::unchanged(cell.as_ref()),
    ) {
        Ok(()) => Ok(true),
        Err(CellError::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the role back, if the session of `term` has it.
pub fn stop_reporting(cells: &impl Cells, term: u32) -> Result<(), CellError> {
    let cell = cells.get(ROLE)?;
    let role = cell.as_ref().and_then(|cell| Role::decode(&cell.bytes));
    if role.is_some_and(|role| (role.format, role.term) == (FORMAT, term)) {
        cells.set(ROLE, &[], Expect::unchanged(cell.as_ref()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell_names::METER_LAYOUT;
    use crate::ledger;
    use crate::limit::{Limits, Window};
    use crate::meter::Owner;
    use crate::test_util::MemoryCells;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECOND: u64 = 1_000_000_000;

    /// What the code of the former layout left is in cells of other names.
    #[test]
    fn new_meter_layout_ignores_former_cells() {
        let former = format!("m{}/", METER_LAYOUT - 1);
        let old = |name: &str| name.replacen(meter_cell!(""), &former, 1);
        let cells = MemoryCells::default();
        // A secret and a meter, with its marks and a reporter, as this layout writes them.
        let own = MemoryCells::default();
        let owner = Owner {
            epoch: [1; 4],
            key: 7,
        };
        let limits = Limits::default().with(Window::Day, Some(1));
        let admit = |cells: &MemoryCells| {
            let admitted = ledger::change(cells, 3, owner, |meter| {
                meter.admit(&limits, 1_000_000).admitted()
            });
            admitted.unwrap().unwrap()
        };
        assert_eq!(secret(&own, [1; 16]), Ok([1; 16]));
        assert_eq!([admit(&own), admit(&own)], [true, false]);
        ledger::mark(&own, &[3]).unwrap();
        assert!(is_reporter(&own, 7, SECOND).unwrap());
        let mut copied = 0;
        own.tamper(|name, bytes| {
            assert!(
                name.starts_with(meter_cell!("")),
                "{name} is no cell of the meters"
            );
            cells.set(&old(name), bytes, Expect::Absent).unwrap();
            copied += 1;
        });
        assert_eq!(copied, 5, "secret, meter, two bitmaps and role");

        assert_eq!(
            secret(&cells, [2; 16]),
            Ok([2; 16]),
            "it reports as a new process"
        );
        assert_eq!(ledger::read(&cells, 3).unwrap(), (None, 0));
        assert!(ledger::marked(&cells, 0, 10).unwrap().is_empty());
        assert!(
            is_reporter(&cells, 1, SECOND).unwrap(),
            "the former reporter is none of this layout"
        );
        assert_eq!([admit(&cells), admit(&cells)], [true, false]);
        let kept = cells.get(&old(SECRET)).unwrap().unwrap();
        assert_eq!(kept.bytes, [1; 16], "the former code goes on with its own");
    }

    /// A session that gives the role back makes room as well.
    #[test]
    fn one_session_reports_until_silent() {
        let cells = MemoryCells::default();
        let is_reporter = |format, term, at| is_reporter_of(&cells, format, term, at).unwrap();
        assert!(is_reporter(FORMAT, 7, SECOND));
        assert!(!is_reporter(FORMAT + 1, 3, SECOND));
        assert!(is_reporter(FORMAT, 7, 3 * SECOND));
        assert!(!is_reporter(FORMAT + 1, 3, 6 * SECOND));
        assert!(
            is_reporter(FORMAT + 1, 3, 6 * SECOND + 1),
            "the other is silent"
        );
        assert!(!is_reporter(FORMAT, 7, 7 * SECOND));
        assert!(
            is_reporter(FORMAT + 1, 4, 7 * SECOND),
            "the successor of its own snapshot"
        );
        assert!(!is_reporter(FORMAT + 1, 3, 7 * SECOND), "it was replaced");
        assert!(is_reporter(FORMAT, 8, 11 * SECOND));
        stop_reporting(&cells, 7).unwrap();
        assert!(
            !is_reporter(FORMAT + 1, 4, 11 * SECOND),
            "a former session gives nothing back"
        );
        stop_reporting(&cells, 8).unwrap();
        assert!(is_reporter(FORMAT + 1, 4, 11 * SECOND));
    }
}
