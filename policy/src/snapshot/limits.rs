//! The staleness limits of the configurations that read the snapshot.
//!
//! Each worker records its limit now and then; a limit that no worker has recorded for [`EXPIRY`]
//! is no longer in use. The control plane is sent the longest, and no worker enforces a longer one
//! than that: a worker that could not record its limit in time only refuses sooner.

use crate::cell_names::snapshot_cell;
use crate::cells::{CellError, Cells, Expect};

/// `seconds`, `said_at`, each `u64`, for each limit. 0 seconds is no limit.
const CELL: &str = snapshot_cell!("limits");

/// The time for which a recorded limit counts, in nanoseconds.
const EXPIRY: u64 = 5_000_000_000;

/// The time for which a recorded limit is not written again, in nanoseconds.
const PAUSE: u64 = 1_000_000_000;

/// The highest number of limits at once. If there are more, those that were recorded last are
/// dropped.
const MAX_LIMITS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Limit {
    seconds: u64,
    said_at: u64,
}

impl Limit {
    fn is_in_use(&self, now: u64) -> bool {
        now.abs_diff(self.said_at) <= EXPIRY
    }
}

/// Records that a worker has a limit of `seconds`, or no limit if that is 0, at `now` by the
/// monotonic clock.
pub fn renew_limit(cells: &impl Cells, seconds: u64, now: u64) -> Result<(), CellError> {
    let cell = cells.get(CELL)?;
    let mut limits = decode(cell.as_ref().map(|cell| &*cell.bytes));
    let is_known = |limit: &Limit| limit.seconds == seconds && now.abs_diff(limit.said_at) < PAUSE;
    if limits.iter().any(is_known) {
        return Ok(());
    }

    limits.retain(|limit| limit.seconds != seconds && limit.is_in_use(now));
    limits.truncate(MAX_LIMITS.saturating_sub(1));
    limits.push(Limit {
        seconds,
        said_at: now,
    });
    let bytes: Vec<u8> = limits
        .iter()
        .flat_map(|limit| [limit.seconds, limit.said_at])
        .flat_map(u64::to_le_bytes)
        .collect();
    cells.set(CELL, &bytes, Expect::unchanged(cell.as_ref()))
}

/// Returns the longest limit in use at `now`, in seconds; 0 if one of them is no limit. `None` if
/// no limit is recorded.
pub fn longest_limit(cells: &impl Cells, now: u64) -> Result<Option<u64>, CellError> {
    let limits = decode(cells.get(CELL)?.as_ref().map(|cell| &*cell.bytes));
    let in_use = || {
        limits
            .iter()
            .filter(|limit| limit.is_in_use(now))
            .map(|limit| limit.seconds)
    };

    Ok(if in_use().any(|seconds| seconds == 0) {
        Some(0)
    } else {
        in_use().max()
    })
}

fn decode(bytes: Option<&[u8]>) -> Vec<Limit> {
    let pairs = bytes.unwrap_or_default().as_chunks::<16>().0.iter();
    let limit = |pair: &[u8; 16]| {
        let [seconds, said_at] = *pair.as_chunks::<8>().0 else {
            return None;
        };
        Some(Limit {
            seconds: u64::from_le_bytes(seconds),
            said_at: u64::from_le_bytes(said_at),
        })
    };
    pairs.filter_map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_util::MemoryCells;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn longest_limit_in_use_is_reported() {
        let cells = MemoryCells::default();
        assert_eq!(longest_limit(&cells, SECOND), Ok(None));
        renew_limit(&cells, 60, SECOND).unwrap();
        renew_limit(&cells, 20, SECOND).unwrap();
        assert_eq!(longest_limit(&cells, SECOND), Ok(Some(60)));
        renew_limit(&cells, 0, 2 * SECOND).unwrap();
        assert_eq!(
            longest_limit(&cells, 2 * SECOND),
            Ok(Some(0)),
            "one has none"
        );
        renew_limit(&cells, 20, 6 * SECOND).unwrap();
        assert_eq!(longest_limit(&cells, 7 * SECOND), Ok(Some(0)));
        assert_eq!(
            longest_limit(&cells, 8 * SECOND),
            Ok(Some(20)),
            "nobody has the others any more"
        );
        assert_eq!(longest_limit(&cells, 12 * SECOND), Ok(None));
    }

    #[test]
    fn limits_are_bounded() {
        let cells = MemoryCells::default();
        for seconds in 0..1_000 {
            renew_limit(&cells, seconds, SECOND).unwrap();
        }
        assert!(cells.bytes() <= 16 * MAX_LIMITS);
    }
}
