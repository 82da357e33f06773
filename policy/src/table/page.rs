//! Pages: their names, their headers, and the page of each hash.

use super::Side;
use crate::cell_names::SNAPSHOT;
use crate::record::{Damaged, Kind};
use std::fmt::Write as _;

const FORMAT: u8 = 1;
const HEADER_LEN: usize = 12;

/// A page's header, and the records after it.
pub(super) struct Page<'a> {
    pub(super) level: u32,
    pub(super) load: u32,
    pub(super) term: u32,
    pub(super) records: &'a [u8],
}

impl<'a> Page<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Damaged> {
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

    pub(super) fn begin(level: u32, load: u32, term: u32, capacity: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN.saturating_add(capacity));
        // There are at most 64 levels.
        bytes.extend_from_slice(&[FORMAT, u8::try_from(level).unwrap_or(u8::MAX), 0, 0]);
        bytes.extend_from_slice(&load.to_le_bytes());
        bytes.extend_from_slice(&term.to_le_bytes());
        bytes
    }
}

/// Returns the page at `level`: the hash's low bits.
pub(super) fn index_at_level(hash: u64, level: u32) -> u64 {
    let mask = 1u64
        .checked_shl(level)
        .map_or(u64::MAX, |bit| bit.saturating_sub(1));
    hash & mask
}

/// Returns a page's name, which is short enough that the host's string type needs no heap.
pub(super) fn name(side: Side, kind: Kind, index: u32) -> String {
    let side = if side == Side::A { 'a' } else { 'b' };
    let kind = match kind {
        Kind::Key => 'k',
        Kind::Policy => 'p',
        Kind::Routes => 'r',
    };
    let mut name = String::with_capacity(16);
    // Writing into a String cannot fail.
    let _ = write!(name, "{SNAPSHOT}{side}{kind}{index:x}");
    name
}
