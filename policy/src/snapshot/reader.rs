//! Looking things up: a view for each request, on the head that was published when the request began.

use super::head::{Head, versioned_head};
use super::{Epoch, Unavailable};
use crate::cells::Cells;
use crate::key::KeyDigest;
use crate::policy::Policy;
use crate::record::{KeyRecord, Kind, PolicyRecord};
use crate::route::{RouteRecord, Routes};
use crate::table::ReadError;
use std::collections::HashMap;
use std::rc::Rc;

/// How often a reader looks again when the snapshot moves while it reads.
const MAX_MOVES: usize = 4;

/// Policies that one reader keeps compiled, and entries in all of their lists: some megabytes.
const MAX_CACHED_POLICIES: usize = 4096;
const MAX_CACHED_ENTRIES: usize = 100_000;

/// A key that exists, with its policy.
#[derive(Debug)]
pub struct Entry {
    record: Vec<u8>,
    /// What it shares with others.
    pub policy: Rc<Policy>,
}

impl Entry {
    /// A key by its encoded record.
    pub fn new(record: Vec<u8>, policy: Rc<Policy>) -> Self {
        Self { record, policy }
    }

    /// The key's own part.
    pub fn key(&self) -> Result<KeyRecord<'_>, Unavailable> {
        Ok(KeyRecord::decode(&self.record)?)
    }
}

/// One worker's view. What it keeps compiled is dropped when the head has changed; the route rules, which cost more,
/// when they have.
#[derive(Debug, Default)]
pub struct Reader {
    /// The version of the head's cell that `policies` belong to.
    version: u32,
    policies: HashMap<u64, Rc<Policy>>,
    entries: usize,
    /// Of which load and which of its changes the rules are.
    routes_of: (u32, u32),
    routes: Rc<Routes>,
}

impl Reader {
    /// Reads what is published now. Ask the view once for each request: a view is as old as the request.
    pub fn view(&mut self, cells: &impl Cells) -> Result<View<'_>, Unavailable> {
        let (mut head, mut version) = versioned_head(cells)?;
        for _ in 0..MAX_MOVES {
            match self.follow(cells, &head, version) {
                Ok(()) => return Ok(View { reader: self, head }),
                Err(ReadError::Host) => return Err(Unavailable::Host),
                Err(ReadError::Damaged) => return Err(Unavailable::Damaged),
                Err(ReadError::Gone) => {
                    let before = version;
                    (head, version) = versioned_head(cells)?;
                    if version == before {
                        return Err(Unavailable::Damaged);
                    }
                }
            }
        }
        Err(Unavailable::Damaged)
    }

    /// Drops what an older head said, and reads the route rules if there are new ones.
    fn follow(&mut self, cells: &impl Cells, head: &Head, version: u32) -> Result<(), ReadError> {
        if self.version == version {
            return Ok(());
        }
        self.policies.clear();
        self.entries = 0;
        if self.routes_of != (head.load, head.routes) {
            // Every snapshot has it, if it only says that there are no rules.
            let record = head.table(Kind::Routes).find(cells, &RouteRecord::ID)?.ok_or(ReadError::Damaged)?;
            self.routes = Rc::new(Routes::compile(&RouteRecord::decode(&record)?));
            self.routes_of = (head.load, head.routes);
        }
        self.version = version;
        Ok(())
    }
}

/// The snapshot as it was published when the view was made, or newer.
#[derive(Debug)]
pub struct View<'r> {
    reader: &'r mut Reader,
    head: Head,
}

impl View<'_> {
    /// Which history the snapshot is of.
    pub fn epoch(&self) -> &Epoch {
        &self.head.epoch
    }

    /// Its revision.
    pub fn revision(&self) -> u64 {
        self.head.revision
    }

    /// The route rules.
    pub fn routes(&self) -> Rc<Routes> {
        Rc::clone(&self.reader.routes)
    }

    /// Looks a key up; `None` means unknown or revoked. [`Unavailable::Moved`] asks for a new view.
    pub fn find(&mut self, cells: &impl Cells, digest: &KeyDigest) -> Result<Option<Entry>, Unavailable> {
        self.find_here(cells, digest).map_err(|error| match error {
            ReadError::Host => Unavailable::Host,
            ReadError::Damaged => Unavailable::Damaged,
            ReadError::Gone => Unavailable::Moved,
        })
    }

    fn find_here(&mut self, cells: &impl Cells, digest: &KeyDigest) -> Result<Option<Entry>, ReadError> {
        let Some(record) = self.head.table(Kind::Key).find(cells, &digest.0)? else { return Ok(None) };
        let id = KeyRecord::decode(&record)?.policy;
        let Reader { policies, entries, routes, .. } = &mut *self.reader;
        if let Some(policy) = policies.get(&id) {
            return Ok(Some(Entry { record, policy: Rc::clone(policy) }));
        }
        if policies.len() >= MAX_CACHED_POLICIES || *entries >= MAX_CACHED_ENTRIES {
            policies.clear();
            *entries = 0;
        }
        // Policies are written before the keys that name them, and removed only after a head without those keys: if this
        // one is not there, there is a newer head.
        let policy = self.head.table(Kind::Policy).find(cells, &id.to_le_bytes())?.ok_or(ReadError::Gone)?;
        let policy = Rc::new(Policy::compile(&PolicyRecord::decode(&policy)?, routes));
        *entries = entries.saturating_add(policy.size());
        policies.insert(id, Rc::clone(&policy));
        Ok(Some(Entry { record, policy }))
    }
}
