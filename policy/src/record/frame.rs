//! The common parts of all records: the frame around an identifier and a body, and the fields of
//! bodies.

use super::{Damaged, Kind, TooLong};
use crate::address;
use crate::permission::Pattern;
use ipnet::IpNet;

const CRC_LEN: usize = 4;

/// Splits concatenated records, and reads only their identifiers.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// Creates an iterator over the records of `kind` in `bytes`.
    pub fn new(kind: Kind, bytes: &'a [u8]) -> Self {
        Self { kind, rest: bytes }
    }

    fn split(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (length, _) = split_length(self.kind, self.rest)?;
        let (record, rest) = self
            .rest
            .split_at_checked(length.checked_add(self.kind.length_len())?)?;
        let id = record
            .get(self.kind.length_len()..)?
            .get(..self.kind.id_len())?;
        self.rest = rest;
        Some((id, record))
    }
}

/// Splits the length before a record from the bytes after it.
fn split_length(kind: Kind, bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_at_checked(kind.length_len())?;
    let mut wide = [0; 4];
    wide.iter_mut()
        .zip(length)
        .for_each(|(to, from)| *to = *from);
    Some((usize::try_from(u32::from_le_bytes(wide)).ok()?, rest))
}

impl<'a> Iterator for Records<'a> {
    /// The identifier and the whole record, its length included.
    type Item = Result<(&'a [u8], &'a [u8]), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.split().ok_or(Damaged);
        if split.is_err() {
            self.rest = &[];
        }
        Some(split)
    }
}

pub(crate) fn encode(kind: Kind, id: &[u8], body: &[&[u8]], out: &mut Vec<u8>) -> Option<()> {
    let body_len = body
        .iter()
        .try_fold(0usize, |sum, part| sum.checked_add(part.len()))?;
    let length = id.len().checked_add(CRC_LEN)?.checked_add(body_len)?;

    match kind {
        Kind::Key => out.extend_from_slice(&u16::try_from(length).ok()?.to_le_bytes()),
        Kind::Policy | Kind::Routes => {
            out.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
        }
    }

    out.extend_from_slice(id);
    let mut crc = crc32fast::Hasher::new();
    crc.update(id);
    body.iter().for_each(|part| crc.update(part));
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    body.iter().for_each(|part| out.extend_from_slice(part));
    Some(())
}

pub(crate) fn put_text(field: &'static str, text: &str, out: &mut Vec<u8>) -> Result<(), TooLong> {
    out.push(u8::try_from(text.len()).map_err(|_| TooLong { field })?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

pub(crate) fn put_texts<T: AsRef<str>>(
    field: &'static str,
    texts: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
) -> Result<(), TooLong> {
    let (at, mut count) = (out.len(), 0u32);
    out.extend_from_slice(&count.to_le_bytes());
    for text in texts {
        put_text(field, text.as_ref(), out)?;
        count = count.checked_add(1).ok_or(TooLong { field })?;
    }
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = count.to_le_bytes();
    }
    Ok(())
}

/// Appends LEB128: seven bits a byte, the lowest first, and the eighth set in all bytes but the
/// last.
pub(crate) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

pub(crate) fn verify<const ID: usize>(
    kind: Kind,
    record: &[u8],
) -> Result<([u8; ID], &[u8]), Damaged> {
    let (length, rest) = split_length(kind, record).ok_or(Damaged)?;
    if length != rest.len() {
        return Err(Damaged);
    }

    let mut fields = Fields(rest);
    let id = fields.array()?;
    let expected = u32::from_le_bytes(fields.array()?);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&id);
    crc.update(fields.0);

    if crc.finalize() == expected {
        Ok((id, fields.0))
    } else {
        Err(Damaged)
    }
}

/// The rest of a body that is still to be read.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*array)
    }

    /// Reads a number as [`put_number`] writes it.
    pub(crate) fn number<T: TryFrom<u64>>(&mut self) -> Result<T, Damaged> {
        let mut number = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            // Only one bit of the number is left for the tenth byte.
            if bits << shift >> shift != bits {
                return Err(Damaged);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return T::try_from(number).map_err(|_| Damaged);
            }
        }
        Err(Damaged)
    }

    /// Reads flags. A flag that this version does not know is an error: it may be a restriction,
    /// which must not be ignored.
    pub(crate) fn flags(&mut self, known: u8) -> Result<u8, Damaged> {
        let [flags] = self.array()?;
        if flags & !known == 0 {
            Ok(flags)
        } else {
            Err(Damaged)
        }
    }

    /// Checks that the body ends here: data that this version does not know may be a restriction as
    /// well.
    pub(crate) fn finish(self) -> Result<(), Damaged> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Damaged)
        }
    }

    pub(crate) fn str(&mut self, len: usize) -> Result<&'a str, Damaged> {
        let (text, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Damaged)
    }

    pub(crate) fn short_str(&mut self) -> Result<&'a str, Damaged> {
        let [len] = self.array()?;
        self.str(usize::from(len))
    }

    pub(crate) fn ranges(&mut self) -> Result<Vec<IpNet>, Damaged> {
        let count = u32::from_le_bytes(self.array()?);
        // The capacity does not come from `count`, which counts only as far as there are ranges.
        let mut ranges = Vec::new();
        for _ in 0..count {
            let (range, rest) = address::decode(self.0).ok_or(Damaged)?;
            self.0 = rest;
            ranges.push(range);
        }
        Ok(ranges)
    }

    pub(crate) fn texts(&mut self) -> Result<Vec<String>, Damaged> {
        let count = u32::from_le_bytes(self.array()?);
        // The same holds as for ranges; each text has a length, so this ends with the bytes.
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.short_str()?.to_owned());
        }
        Ok(texts)
    }

    pub(crate) fn patterns(&mut self) -> Result<Vec<Pattern>, Damaged> {
        self.texts()?
            .iter()
            .map(|text| Pattern::parse(text).map_err(|_| Damaged))
            .collect()
    }

    pub(crate) fn rest(self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.0).map_err(|_| Damaged)
    }
}
