//! Random secrets that shared memory keeps for as long as the process lives.

use crate::cell_names::snapshot_cell;
use crate::cells::{CellError, Cells, Expect};

const CELL: &str = snapshot_cell!("secret");

/// Returns the secret of this snapshot's memory, by which the control plane recognizes the node:
/// the one that was stored first, which is `fresh` if there was none.
pub fn secret(cells: &impl Cells, fresh: [u8; 16]) -> Result<[u8; 16], CellError> {
    secret_in(cells, CELL, fresh)
}

/// Returns the secret in a cell.
pub(crate) fn secret_in(
    cells: &impl Cells,
    cell: &str,
    fresh: [u8; 16],
) -> Result<[u8; 16], CellError> {
    match cells.set(cell, &fresh, Expect::Absent) {
        Ok(()) => return Ok(fresh),
        Err(CellError::Conflict) => {}
        Err(error) => return Err(error),
    }
    let kept = cells.get(cell)?.ok_or(CellError::Host)?;
    kept.bytes
        .as_slice()
        .try_into()
        .map_err(|_| CellError::Host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger;
    use crate::test_util::MemoryCells;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn first_secret_is_kept() {
        let cells = MemoryCells::default();
        assert_eq!(secret(&cells, [1; 16]), Ok([1; 16]));
        assert_eq!(secret(&cells, [2; 16]), Ok([1; 16]));
        assert_eq!(
            ledger::secret(&cells, [3; 16]),
            Ok([3; 16]),
            "the meters have their own"
        );
        assert_eq!(ledger::secret(&cells, [4; 16]), Ok([3; 16]));
    }
}
