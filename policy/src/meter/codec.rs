//! How counters are encoded: the content of a cell.
//!
//! `format: u8` · the epoch's first 4 bytes · `key: u64` · for each window, the shortest first, `number: u32`,
//! `here: u32`, `elsewhere: u32`, `held: u32` · for each outcome, in the order of `Outcome::ALL`, `requests: u64` ·
//! for each of two last uses, the newest secret's first, `secret: u32` (0 is none, and the rest of it zero), `at: i64`,
//! `from`, an IPv6 address (`::` is none, an IPv4 address is mapped) · `crc: u32` over all before. All integers are
//! little-endian.

use super::{LastUse, LastUses, Meter, Outcome, Owner, Tally};
use crate::limit::Window;
use crate::record::{Damaged, Fields};
use std::net::{IpAddr, Ipv6Addr};

const FORMAT: u8 = 3;
const CRC_LEN: usize = 4;

/// Bytes in an encoding.
pub const LEN: usize = 1 + 4 + 8 + Window::ALL.len() * 16 + Outcome::ALL.len() * 8 + LastUses::LEN * 28 + CRC_LEN;

impl Meter {
    /// The cell's new content.
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        let mut places = out.iter_mut();
        // The places end with the array, and the checksum's are left over.
        let mut put = |bytes: &[u8]| bytes.iter().zip(places.by_ref()).for_each(|(byte, place)| *place = *byte);
        put(&[FORMAT]);
        put(&self.owner.epoch);
        put(&self.owner.key.to_le_bytes());
        for tally in self.tallies {
            [tally.number, tally.here, tally.elsewhere, tally.held]
                .iter()
                .for_each(|number| put(&number.to_le_bytes()));
        }
        self.requests.iter().for_each(|requests| put(&requests.to_le_bytes()));
        for used in self.last_uses.0 {
            let LastUse { secret, at, from } = used.unwrap_or(LastUse { secret: 0, at: 0, from: None });
            put(&secret.to_le_bytes());
            put(&at.to_le_bytes());
            put(&as_ipv6(from).octets());
        }
        if let Some((content, crc)) = out.split_last_chunk_mut::<CRC_LEN>() {
            *crc = crc32fast::hash(content).to_le_bytes();
        }
        out
    }

    /// Reads and verifies a cell's content.
    ///
    /// # Errors
    /// [`Damaged`] if it is no encoding of this format, whole and unchanged.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (content, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(Damaged)?;
        if bytes.len() != LEN || crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return Err(Damaged);
        }
        let mut fields = Fields(content);
        let [FORMAT] = fields.array()? else {
            return Err(Damaged);
        };
        let mut meter = Self::new(Owner { epoch: fields.array()?, key: u64::from_le_bytes(fields.array()?) });
        for tally in &mut meter.tallies {
            *tally = Tally {
                number: u32::from_le_bytes(fields.array()?),
                here: u32::from_le_bytes(fields.array()?),
                elsewhere: u32::from_le_bytes(fields.array()?),
                held: u32::from_le_bytes(fields.array()?),
            };
        }
        for requests in &mut meter.requests {
            *requests = u64::from_le_bytes(fields.array()?);
        }
        for used in &mut meter.last_uses.0 {
            let (secret, at) = (u32::from_le_bytes(fields.array()?), i64::from_le_bytes(fields.array()?));
            let address = Ipv6Addr::from(fields.array::<16>()?);
            let from = (!address.is_unspecified()).then(|| IpAddr::V6(address).to_canonical());
            *used = (secret != 0).then_some(LastUse { secret, at, from });
        }
        fields.finish()?;
        Ok(meter)
    }
}

fn as_ipv6(address: Option<IpAddr>) -> Ipv6Addr {
    match address {
        None => Ipv6Addr::UNSPECIFIED,
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped(),
        Some(IpAddr::V6(address)) => address,
    }
}
