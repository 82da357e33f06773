//! Names of shared cells.
//!
//! The names of the snapshot's cells begin with `s` and the record format, those of the meters with
//! `m` and the meters' layout. While Envoy replaces the filter's code, old and new VMs share one
//! memory. If the new ones have another record format, they build their own snapshot. They count in
//! the same meters, unless the layout of these has changed as well.
//!
//! A change of the content of a snapshot's cell (head, page, lease, notes, progress) must raise
//! [`FORMAT`](crate::record::FORMAT). A change of the content of a meter's cell or of the marks
//! must raise the layout.
//!
//! The host puts the name of the instance in front, and hosts keep names of up to 22 characters
//! without the heap.

use crate::record::FORMAT;

macro_rules! snapshot_cell {
    ($name:literal) => {
        if cfg!(feature = "next-format") {
            concat!("s5/", $name)
        } else {
            concat!("s4/", $name)
        }
    };
}

macro_rules! meter_cell {
    ($name:literal) => {
        concat!("m4/", $name)
    };
}

pub(crate) use {meter_cell, snapshot_cell};

/// The prefix of the names of the snapshot's cells.
pub(crate) const SNAPSHOT: &str = snapshot_cell!("");

/// The number in the names of the meters' cells.
pub(crate) const METER_LAYOUT: u8 = 4;

// The names agree with the numbers.
const _: () =
    assert!(matches!(SNAPSHOT.as_bytes(), [b's', digit, b'/'] if (*digit - b'0') as u32 == FORMAT));
const _: () = assert!(
    matches!(meter_cell!("").as_bytes(), [b'm', digit, b'/'] if *digit - b'0' == METER_LAYOUT)
);
