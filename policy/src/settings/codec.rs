//! The record of a snapshot's settings, of the kind [`Kind::Routes`] (`crate::record`).
//!
//! Its body is `flags: u8` (2 there are imported keys; since format 4: 16 there are ended owners;
//! the others are those of the route rules), the route rules (`crate::route`) and, if there are
//! any, the list of texts of ended owners, in ascending order.

use super::SettingsRecord;
use crate::record::{Damaged, Fields, Kind, TooLong, encode, put_texts, verify};
use crate::route::RouteRules;

const IMPORTED: u8 = 2;
const ENDED_OWNERS: u8 = 16;

// The flags of the rules are in the same byte.
const _: () = assert!(RouteRules::FLAGS & (IMPORTED | ENDED_OWNERS) == 0);

impl SettingsRecord {
    /// The identifier of the one record.
    pub const ID: [u8; 8] = [0; 8];

    /// The first format that has ended owners. Nodes that read an older one cannot receive them.
    pub const ENDED_OWNERS_FORMAT: u32 = 4;

    /// Appends the record to `out`, in one of the formats of `crate::record`.
    pub fn encode(&self, format: u32, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let imported = if self.imported { IMPORTED } else { 0 };
        let has_ended = format >= Self::ENDED_OWNERS_FORMAT && !self.ended_owners.is_empty();
        let ended = if has_ended { ENDED_OWNERS } else { 0 };
        let mut body = vec![self.routes.flags(format) | imported | ended];
        self.routes.put_rules(&mut body)?;
        if has_ended {
            put_texts("ended owners", &self.ended_owners, &mut body)?;
        }
        encode(Kind::Routes, &Self::ID, &[&body], out).ok_or(TooLong { field: "rules" })
    }

    /// Reads and verifies one whole record, such as [`Records`](crate::record::Records) yields.
    /// Invalid rules count as damage.
    pub fn decode(record: &[u8]) -> Result<Self, Damaged> {
        let (id, body) = verify(Kind::Routes, record)?;
        if id != Self::ID {
            return Err(Damaged);
        }

        let mut body = Fields(body);
        let flags = body.flags(RouteRules::FLAGS | IMPORTED | ENDED_OWNERS)?;
        let routes = RouteRules::take(flags & RouteRules::FLAGS, &mut body)?;
        let ended_owners = if flags & ENDED_OWNERS != 0 {
            body.texts()?
        } else {
            Vec::new()
        };
        let ascends = ended_owners.is_sorted_by(|one, next| one < next);
        if !ascends || (flags & ENDED_OWNERS != 0 && ended_owners.is_empty()) {
            return Err(Damaged);
        }

        body.finish()?;

        Ok(Self {
            routes,
            imported: flags & IMPORTED != 0,
            ended_owners,
        })
    }
}

#[cfg(test)]
mod tests;
