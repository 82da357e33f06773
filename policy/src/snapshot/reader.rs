//! Reading the snapshot: a view for each request, on the head that was published when the request
//! began, or a newer one.

use super::cache::KeyCache;
use super::head::{Head, versioned_head};
use super::{CachedKey, Epoch, Unavailable};
use crate::cells::Cells;
use crate::key::KeyDigest;
use crate::policy::Policy;
use crate::record::{KeyRecord, Kind, PolicyRecord};
use crate::settings::{SettingsRecord, SnapshotSettings};
use crate::table::ReadError;
use std::collections::HashMap;
use std::rc::Rc;

/// The number of times that a reader looks again when the snapshot moves while it reads.
const MAX_MOVES: usize = 4;

/// The number of policies that one reader keeps compiled, and of the entries in all of their lists:
/// some megabytes.
const MAX_CACHED_POLICIES: usize = 4096;
const MAX_CACHED_ENTRIES: usize = 100_000;

/// The reader of one worker. It drops compiled keys and policies when the head has changed. The
/// settings cost more, and are dropped only when they have changed.
#[derive(Debug, Default)]
pub struct Reader {
    /// The head, and the version of its cell. `keys` and `policies` belong to it.
    head: Option<(Head, u32)>,
    /// The generation before `head` was read: while it is the same, no other head was published.
    generation: Option<u64>,
    keys: KeyCache,
    policies: HashMap<u64, Rc<Policy>>,
    entries: usize,
    /// The load and the number of changes that the settings belong to.
    settings_of: (u32, u32),
    settings: Rc<SnapshotSettings>,
}

impl Reader {
    /// Returns a view of the newest head. Call it once for each request: a view is as old as the
    /// request.
    pub fn view(&mut self, cells: &impl Cells) -> Result<View<'_>, Unavailable> {
        let generation = cells.generation();
        if generation.is_some()
            && generation == self.generation
            && let Some((head, _)) = self.head
        {
            return Ok(View { reader: self, head });
        }
        self.generation = None;
        let (mut head, mut version) = versioned_head(cells)?;

        for _ in 0..MAX_MOVES {
            match self.follow(cells, &head, version) {
                Ok(()) => {
                    self.generation = generation;
                    return Ok(View { reader: self, head });
                }
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

    /// Returns the settings of the last view; the default before the first.
    pub fn last_settings(&self) -> Rc<SnapshotSettings> {
        Rc::clone(&self.settings)
    }

    /// Makes the next view read the head, independent of the generation. Called now and then, this
    /// bounds the effect of a wrong generation.
    pub fn look_again(&mut self) {
        self.generation = None;
    }

    /// Drops the data of an older head, and reads the settings if there are new ones.
    fn follow(&mut self, cells: &impl Cells, head: &Head, version: u32) -> Result<(), ReadError> {
        if self.head.is_some_and(|(_, known)| known == version) {
            return Ok(());
        }

        self.head = None;
        self.keys.clear();
        self.policies.clear();
        self.entries = 0;

        if self.settings_of != (head.load, head.routes) {
            // Every snapshot has this record, even if it only says that there are no rules.
            let record = head
                .table(Kind::Routes)
                .find(cells, &SettingsRecord::ID)?
                .ok_or(ReadError::Damaged)?;
            self.settings = Rc::new(SnapshotSettings::compile(&SettingsRecord::decode(&record)?));
            self.settings_of = (head.load, head.routes);
        }

        self.head = Some((*head, version));
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
    /// Returns the history of the snapshot.
    pub fn epoch(&self) -> &Epoch {
        &self.head.epoch
    }

    /// Returns the snapshot's revision.
    pub fn revision(&self) -> u64 {
        self.head.revision
    }

    /// Returns the staleness limit that the control plane was last sent, in seconds; 0 is none.
    pub fn staleness(&self) -> u64 {
        self.head.staleness
    }

    /// Returns the settings.
    pub fn settings(&self) -> Rc<SnapshotSettings> {
        Rc::clone(&self.reader.settings)
    }

    /// Looks a key up; `None` means unknown or revoked. [`Unavailable::Moved`] asks for a new view.
    pub fn find(
        &mut self,
        cells: &impl Cells,
        digest: &KeyDigest,
    ) -> Result<Option<Rc<CachedKey>>, Unavailable> {
        if let Some(entry) = self.reader.keys.get(digest) {
            return Ok(Some(Rc::clone(entry)));
        }

        self.read(cells, digest).map_err(|error| match error {
            ReadError::Host => Unavailable::Host,
            ReadError::Damaged => Unavailable::Damaged,
            ReadError::Gone => {
                // A head may be written before it is announced.
                self.reader.look_again();
                Unavailable::Moved
            }
        })
    }

    fn read(
        &mut self,
        cells: &impl Cells,
        digest: &KeyDigest,
    ) -> Result<Option<Rc<CachedKey>>, ReadError> {
        let Some(record) = self.head.table(Kind::Key).find(cells, &digest.0)? else {
            return Ok(None);
        };
        let record = KeyRecord::decode(&record)?;
        let policy = self.policy(cells, record.policy)?;
        let Some(entry) = CachedKey::from_live_record(&record, policy).map(Rc::new) else {
            return Ok(None);
        };
        self.reader.keys.put(Rc::clone(&entry));
        Ok(Some(entry))
    }

    fn policy(&mut self, cells: &impl Cells, id: u64) -> Result<Rc<Policy>, ReadError> {
        let Reader {
            policies,
            entries,
            settings,
            ..
        } = &mut *self.reader;

        if let Some(policy) = policies.get(&id) {
            return Ok(Rc::clone(policy));
        }

        if policies.len() >= MAX_CACHED_POLICIES || *entries >= MAX_CACHED_ENTRIES {
            policies.clear();
            *entries = 0;
        }

        // Policies are written before the keys that name them, and removed only after a head
        // without those keys: if this one is not there, there is a newer head.
        let policy = self
            .head
            .table(Kind::Policy)
            .find(cells, &id.to_le_bytes())?
            .ok_or(ReadError::Gone)?;
        let policy = Rc::new(Policy::compile(&PolicyRecord::decode(&policy)?, settings));
        *entries = entries.saturating_add(policy.size());
        policies.insert(id, Rc::clone(&policy));
        Ok(policy)
    }
}
