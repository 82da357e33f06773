//! The orders of keys. Each order has an index of live keys and one of revoked keys, both ending
//! with `seq`.

use super::KeySort;
use crate::walk::{Segment, Sequence};

const CREATION: [Segment; 1] = [Segment {
    has: "TRUE",
    by: Some("created_at"),
}];
const NAME: [Segment; 1] = [Segment {
    has: "TRUE",
    by: Some("keys.name COLLATE NOCASE"),
}];
const EXPIRY: [Segment; 2] = [
    Segment {
        has: "expires_at IS NOT NULL",
        by: Some("expires_at"),
    },
    Segment {
        has: "expires_at IS NULL",
        by: None,
    },
];
const LAST_USE: [Segment; 2] = [
    Segment {
        has: "last_used_at IS NOT NULL",
        by: Some("last_used_at"),
    },
    Segment {
        has: "last_used_at IS NULL",
        by: None,
    },
];

/// The values for keys without a time: no real time is as late, or as early.
const LATEST: i64 = i64::MAX;
const EARLIEST: i64 = -1;

pub(super) fn sequence(sort: KeySort, descending: bool) -> Sequence {
    let (value, segments): (_, &'static [Segment]) = match (sort, descending) {
        (KeySort::CreatedAt, _) => ("created_at", &CREATION),
        (KeySort::Name, _) => ("keys.name COLLATE NOCASE", &NAME),
        (KeySort::ExpiresAt, false) => ("COALESCE(expires_at, 9223372036854775807)", &EXPIRY),
        (KeySort::ExpiresAt, true) => ("COALESCE(expires_at, -1)", &EXPIRY),
        (KeySort::LastUsedAt, false) => ("COALESCE(last_used_at, 9223372036854775807)", &LAST_USE),
        (KeySort::LastUsedAt, true) => ("COALESCE(last_used_at, -1)", &LAST_USE),
    };
    Sequence {
        table: "keys",
        value,
        descending,
        segments,
        last: if descending { EARLIEST } else { LATEST },
    }
}
