//! The encoding of counters: the content of a cell.
//!
//! `format: u8` · the epoch's first 4 bytes · `key` · for each window, the shortest first,
//! `number`, `here`, `elsewhere`, `held` · `counted: u8`, a bit for each outcome, in the order of
//! `Outcome::ALL`, and for each bit that is set `requests` · for each of two last uses, the newest
//! secret's first, `address: u8`: 0 is no last use, 1 one from an unknown address, 4 and 6 one from
//! an address of that version, and unless it is 0 `secret`, `at`, the address · `crc: u32` over all
//! before. Numbers without a type are LEB128; the checksum and addresses are not.
//!
//! Most numbers are small or 0, and there is a cell for every key that was ever used.

use super::{LastUse, Meter, Outcome, Owner};
use crate::cell_names::METER_LAYOUT;
use crate::record::{Damaged, Fields, put_number};
use std::net::IpAddr;

const FORMAT: u8 = METER_LAYOUT;
const CRC_LEN: usize = 4;

/// The length that is enough for most keys.
const USUAL_LEN: usize = 96;

// One bit for each outcome.
const _: () = assert!(Outcome::ALL.len() == 8);

impl Meter {
    /// Encodes the cell's new content.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL_LEN);
        out.push(FORMAT);
        out.extend_from_slice(&self.owner.epoch);
        put_number(self.owner.key, &mut out);
        for tally in &self.tallies {
            for number in [tally.number, tally.here, tally.elsewhere, tally.held] {
                put_number(number.into(), &mut out);
            }
        }

        let counted = || {
            self.requests
                .iter()
                .enumerate()
                .filter(|(_, requests)| **requests > 0)
        };

        out.push(counted().fold(0, |counted, (outcome, _)| counted | 1 << outcome));
        counted().for_each(|(_, requests)| put_number(*requests, &mut out));
        for used in &self.last_uses.0 {
            put_last_use(used.as_ref(), &mut out);
        }

        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// Reads and verifies a cell's content.
    ///
    /// # Errors
    /// [`Damaged`] if the bytes are no encoding of this format, whole and unchanged.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (content, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(Damaged)?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return Err(Damaged);
        }

        let mut fields = Fields(content);
        let [FORMAT] = fields.array()? else {
            return Err(Damaged);
        };
        let mut meter = Self::new(Owner {
            epoch: fields.array()?,
            key: fields.number()?,
        });
        for tally in &mut meter.tallies {
            for number in [
                &mut tally.number,
                &mut tally.here,
                &mut tally.elsewhere,
                &mut tally.held,
            ] {
                *number = fields.number()?;
            }
        }

        let [counted] = fields.array()?;
        for (outcome, requests) in meter.requests.iter_mut().enumerate() {
            if counted & 1 << outcome != 0 {
                *requests = fields.number()?;
            }
        }

        for used in &mut meter.last_uses.0 {
            *used = last_use(&mut fields)?;
        }

        fields.finish()?;
        Ok(meter)
    }
}

fn put_last_use(used: Option<&LastUse>, out: &mut Vec<u8>) {
    let Some(LastUse { secret, at, from }) = used else {
        out.push(0);
        return;
    };

    out.push(match from {
        None => 1,
        Some(IpAddr::V4(_)) => 4,
        Some(IpAddr::V6(_)) => 6,
    });
    put_number((*secret).into(), out);
    put_number(at.cast_unsigned(), out);

    match from {
        None => {}
        Some(IpAddr::V4(address)) => out.extend_from_slice(&address.octets()),
        Some(IpAddr::V6(address)) => out.extend_from_slice(&address.octets()),
    }
}

fn last_use(fields: &mut Fields<'_>) -> Result<Option<LastUse>, Damaged> {
    let [address] = fields.array()?;
    if address == 0 {
        return Ok(None);
    }

    let (secret, at) = (fields.number()?, fields.number::<u64>()?.cast_signed());
    let from = match address {
        1 => None,
        4 => Some(fields.array::<4>()?.into()),
        6 => Some(fields.array::<16>()?.into()),
        _ => return Err(Damaged),
    };
    Ok(Some(LastUse { secret, at, from }))
}
