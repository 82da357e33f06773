//! Looking keys up: a view for each request, on the head that was published when the request began.

use super::Unavailable;
use super::head::{Head, versioned_head};
use crate::cells::Cells;
use crate::key::KeyDigest;
use crate::policy::Policy;
use crate::record::{KeyRecord, Kind, PolicyRecord};
use crate::table::ReadError;
use std::collections::HashMap;
use std::rc::Rc;

/// How often a reader looks again when the snapshot moves while it reads.
const MAX_MOVES: usize = 4;

/// Policies that one reader keeps decoded, and ranges in all of their IP lists: some megabytes.
const MAX_CACHED_POLICIES: usize = 4096;
const MAX_CACHED_RANGES: usize = 100_000;

/// A key that exists, with its policy.
#[derive(Debug)]
pub struct Entry {
    record: Vec<u8>,
    /// What it shares with others.
    pub policy: Rc<Policy>,
}

impl Entry {
    /// The key's own part.
    pub fn key(&self) -> Result<KeyRecord<'_>, Unavailable> {
        Ok(KeyRecord::decode(&self.record)?)
    }
}

/// One worker's view. What it keeps decoded is dropped whenever the head has changed.
#[derive(Debug, Default)]
pub struct Reader {
    /// The version of the head's cell that `policies` belong to.
    version: u32,
    policies: HashMap<u64, Rc<Policy>>,
    ranges: usize,
}

impl Reader {
    /// Reads what is published now. Ask the view once for each request: a view is as old as the request.
    pub fn view(&mut self, cells: &impl Cells) -> Result<View<'_>, Unavailable> {
        let (head, version) = versioned_head(cells)?;
        Ok(View { reader: self, head, version })
    }
}

/// The snapshot as it was published when the view was made, or newer.
#[derive(Debug)]
pub struct View<'r> {
    reader: &'r mut Reader,
    head: Head,
    version: u32,
}

impl View<'_> {
    /// What is published.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Looks a key up; `None` means unknown or revoked.
    pub fn find(mut self, cells: &impl Cells, digest: &KeyDigest) -> Result<Option<Entry>, Unavailable> {
        for _ in 0..MAX_MOVES {
            match self.find_here(cells, digest) {
                Ok(entry) => return Ok(entry),
                Err(ReadError::Host) => return Err(Unavailable::Host),
                Err(ReadError::Damaged) => return Err(Unavailable::Damaged),
                Err(ReadError::Gone) => {
                    let before = self.version;
                    (self.head, self.version) = versioned_head(cells)?;
                    if self.version == before {
                        return Err(Unavailable::Damaged);
                    }
                }
            }
        }
        Err(Unavailable::Damaged)
    }

    fn find_here(&mut self, cells: &impl Cells, digest: &KeyDigest) -> Result<Option<Entry>, ReadError> {
        let Some(record) = self.head.table(Kind::Key).find(cells, &digest.0)? else { return Ok(None) };
        let id = KeyRecord::decode(&record)?.policy;
        let Reader { version, policies, ranges } = &mut *self.reader;
        if *version != self.version || policies.len() >= MAX_CACHED_POLICIES || *ranges >= MAX_CACHED_RANGES {
            policies.clear();
            *ranges = 0;
            *version = self.version;
        }
        if let Some(policy) = policies.get(&id) {
            return Ok(Some(Entry { record, policy: Rc::clone(policy) }));
        }
        // Policies are written before the keys that name them, and removed only after a head without those keys: if this
        // one is not there, there is a newer head.
        let policy = self.head.table(Kind::Policy).find(cells, &id.to_le_bytes())?.ok_or(ReadError::Gone)?;
        let policy = Rc::new(Policy::compile(&PolicyRecord::decode(&policy)?));
        *ranges = ranges.saturating_add(policy.addresses.len());
        policies.insert(id, Rc::clone(&policy));
        Ok(Some(Entry { record, policy }))
    }
}
