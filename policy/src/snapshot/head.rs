//! The head: one cell that says which snapshot is read, and where it is.

use super::{Epoch, Unavailable};
use crate::cells::Cells;
use crate::record::{Damaged, Fields, Kind};
use crate::table::{Side, Table};

pub(super) const CELL: &str = "head";
/// Also grows with the records' format: a snapshot of another one is none.
const FORMAT: u8 = 4;

/// What is published: which snapshot, at which revision, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub(super) side: Side,
    /// Counts the snapshots; 0 before the first.
    pub(super) load: u32,
    /// The writer's.
    pub(super) term: u32,
    pub(super) key_pages: u32,
    pub(super) policy_pages: u32,
    /// Counts the changes to the route rules.
    pub(super) routes: u32,
    /// About how many keys there are.
    pub keys: u64,
    pub(super) policies: u64,
    /// Of which history.
    pub epoch: Epoch,
    /// How far into it.
    pub revision: u64,
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
    };

    pub(super) fn is_ready(&self) -> bool {
        self.load != 0
    }

    pub(super) fn table(&self, kind: Kind) -> Table {
        let pages = match kind {
            Kind::Key => self.key_pages,
            Kind::Policy => self.policy_pages,
            // They are one record.
            Kind::Routes => 1,
        };
        Table { kind, side: self.side, load: self.load, pages }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let side = if self.side == Side::A { 0 } else { 1 };
        let mut out = vec![FORMAT, side, 0, 0];
        for number in [self.load, self.term, self.key_pages, self.policy_pages, self.routes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.keys, self.policies, self.revision] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.epoch);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut fields = Fields(bytes);
        let side = match fields.array()? {
            [FORMAT, 0, 0, 0] => Side::A,
            [FORMAT, 1, 0, 0] => Side::B,
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
            epoch: fields.array()?,
        };
        fields.finish()?;
        Ok(head)
    }
}

/// What is published, and the version of its cell, which no other head has had for billions of writes.
pub(super) fn versioned_head(cells: &impl Cells) -> Result<(Head, u32), Unavailable> {
    let cell = cells.get(CELL)?.ok_or(Unavailable::NotReady)?;
    let head = Head::decode(&cell.bytes)?;
    if head.is_ready() { Ok((head, cell.version)) } else { Err(Unavailable::NotReady) }
}
