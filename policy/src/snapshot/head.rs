//! The head: one cell that names the snapshot to read, and its place.

use super::{Epoch, Tag, Unavailable};
use crate::cell_names::snapshot_cell;
use crate::cells::Cells;
use crate::record::{self, Damaged, Fields, Kind};
use crate::table::{Side, Table};

pub(super) const CELL: &str = snapshot_cell!("head");

/// The first byte: the record format.
const FORMAT: u8 = record::FORMAT.to_le_bytes()[0];

/// The published snapshot: its revision and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub(super) side: Side,
    /// The number of this snapshot; 0 before the first.
    pub(super) load: u32,
    /// The writer's term.
    pub(super) term: u32,
    pub(super) key_pages: u32,
    pub(super) policy_pages: u32,
    /// The number of changes to the route rules.
    pub(super) routes: u32,
    /// The number of keys, approximately.
    pub keys: u64,
    pub(super) policies: u64,
    /// The history of the snapshot.
    pub epoch: Epoch,
    /// The revision in this history.
    pub revision: u64,
    /// The revision's tag.
    pub tag: Tag,
    /// The staleness limit that the control plane was last sent, in seconds; 0 is none.
    pub staleness: u64,
    /// True if this Envoy has said goodbye: nobody reads the snapshot until it is current again.
    pub(super) suspended: bool,
}

impl Head {
    pub(super) const NONE: Self = Self {
        side: Side::B,
        load: 0,
        term: 0,
        key_pages: 0,
        policy_pages: 0,
        routes: 0,
        keys: 0,
        policies: 0,
        epoch: [0; 16],
        revision: 0,
        tag: Tag::NONE,
        staleness: 0,
        suspended: false,
    };

    pub(super) fn is_ready(&self) -> bool {
        self.load != 0
    }

    pub(super) fn table(&self, kind: Kind) -> Table {
        let pages = match kind {
            Kind::Key => self.key_pages,
            Kind::Policy => self.policy_pages,
            // The settings are one record.
            Kind::Routes => 1,
        };

        Table {
            kind,
            side: self.side,
            load: self.load,
            pages,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let side = if self.side == Side::A { 0 } else { 1 };
        let mut out = vec![FORMAT, side, u8::from(self.suspended), 0];

        for number in [
            self.load,
            self.term,
            self.key_pages,
            self.policy_pages,
            self.routes,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }

        for number in [self.keys, self.policies, self.revision, self.staleness] {
            out.extend_from_slice(&number.to_le_bytes());
        }

        out.extend_from_slice(&self.epoch);
        out.extend_from_slice(&self.tag.0);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut fields = Fields(bytes);
        let (side, suspended) = match fields.array()? {
            [FORMAT, 0, suspended @ (0 | 1), 0] => (Side::A, suspended == 1),
            [FORMAT, 1, suspended @ (0 | 1), 0] => (Side::B, suspended == 1),
            _ => return Err(Damaged),
        };
        let head = Self {
            side,
            load: u32::from_le_bytes(fields.array()?),
            term: u32::from_le_bytes(fields.array()?),
            key_pages: u32::from_le_bytes(fields.array()?),
            policy_pages: u32::from_le_bytes(fields.array()?),
            routes: u32::from_le_bytes(fields.array()?),
            keys: u64::from_le_bytes(fields.array()?),
            policies: u64::from_le_bytes(fields.array()?),
            revision: u64::from_le_bytes(fields.array()?),
            staleness: u64::from_le_bytes(fields.array()?),
            epoch: fields.array()?,
            tag: Tag(fields.array()?),
            suspended,
        };

        fields.finish()?;
        Ok(head)
    }
}

/// Returns the head and the version of its cell. No other head has had this version for billions of
/// writes.
pub(super) fn versioned_head(cells: &impl Cells) -> Result<(Head, u32), Unavailable> {
    let cell = cells.get(CELL)?.ok_or(Unavailable::NotReady)?;
    let head = Head::decode(&cell.bytes)?;
    if head.suspended {
        return Err(Unavailable::Suspended);
    }
    if head.is_ready() {
        Ok((head, cell.version))
    } else {
        Err(Unavailable::NotReady)
    }
}
