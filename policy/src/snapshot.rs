//! The snapshot in shared cells: one head, and under it a table of policies and one of keys.
//!
//! A request reads the head first, so that what it decides by is at least as new as what had been published when it
//! began. Changes are made in place and then published by a new head; a whole new snapshot is built on the side that is
//! not read, and its head moves the readers over at once.

use crate::cells::{CellError, Cells, Expect};
use crate::key::KeyDigest;
use crate::policy::Policy;
use crate::record::{Damaged, KeyRecord, Kind, PolicyRecord, Records};
use crate::table::{ReadError, Side, Sweep, Table, TableWriter, WriteError};
use std::collections::HashMap;
use std::rc::Rc;

const HEAD: &str = "head";
const HEAD_FORMAT: u8 = 1;

/// How often a reader looks again when the snapshot moves while it reads.
const MAX_MOVES: usize = 4;

/// Policies that one reader keeps decoded.
const MAX_CACHED_POLICIES: usize = 4096;

/// Names the history that revisions belong to.
pub type Epoch = [u8; 16];

/// What is published: which snapshot, at which revision, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    side: Side,
    /// Counts the snapshots; 0 before the first.
    load: u32,
    /// The writer's.
    term: u32,
    key_pages: u32,
    policy_pages: u32,
    /// About how many keys there are.
    pub keys: u64,
    policies: u64,
    /// Of which history.
    pub epoch: Epoch,
    /// How far into it.
    pub revision: u64,
}

impl Head {
    const NONE: Self = Self {
        side: Side::B,
        load: 0,
        term: 0,
        key_pages: 0,
        policy_pages: 0,
        keys: 0,
        policies: 0,
        epoch: [0; 16],
        revision: 0,
    };

    fn is_ready(&self) -> bool {
        self.load != 0
    }

    fn table(&self, kind: Kind) -> Table {
        let pages = match kind {
            Kind::Key => self.key_pages,
            Kind::Policy => self.policy_pages,
        };
        Table { kind, side: self.side, load: self.load, pages }
    }

    fn encode(&self) -> Vec<u8> {
        let side = if self.side == Side::A { 0 } else { 1 };
        let mut out = vec![HEAD_FORMAT, side, 0, 0];
        for number in [self.load, self.term, self.key_pages, self.policy_pages] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.keys, self.policies, self.revision] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.epoch);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Damaged> {
            let (array, tail) = rest.split_first_chunk().ok_or(Damaged)?;
            *rest = tail;
            Ok(*array)
        }
        let rest = &mut &*bytes;
        let side = match take(rest)? {
            [HEAD_FORMAT, 0, 0, 0] => Side::A,
            [HEAD_FORMAT, 1, 0, 0] => Side::B,
            _ => return Err(Damaged),
        };
        let head = Self {
            side,
            load: u32::from_le_bytes(take(rest)?),
            term: u32::from_le_bytes(take(rest)?),
            key_pages: u32::from_le_bytes(take(rest)?),
            policy_pages: u32::from_le_bytes(take(rest)?),
            keys: u64::from_le_bytes(take(rest)?),
            policies: u64::from_le_bytes(take(rest)?),
            revision: u64::from_le_bytes(take(rest)?),
            epoch: take(rest)?,
        };
        if rest.is_empty() { Ok(head) } else { Err(Damaged) }
    }
}

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

/// The snapshot cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// None has been published yet.
    #[error("no snapshot has been received yet")]
    NotReady,
    /// It is there and cannot be trusted.
    #[error("the snapshot in memory is damaged")]
    Damaged,
    /// It is older than the operator allows.
    #[error("the control plane was not heard from for too long")]
    Stale,
    /// The host refused.
    #[error("the host's shared memory failed")]
    Host,
}

impl From<Damaged> for Unavailable {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<CellError> for Unavailable {
    fn from(_: CellError) -> Self {
        Self::Host
    }
}

/// One worker's view. What it keeps decoded is dropped whenever the head has changed.
#[derive(Debug, Default)]
pub struct Reader {
    /// The version of the head's cell that `policies` belong to.
    version: u32,
    policies: HashMap<u64, Rc<Policy>>,
}

impl Reader {
    /// Reads what is published now. Ask the view once for each request: a view is as old as the request.
    pub fn view(&mut self, cells: &impl Cells) -> Result<View<'_>, Unavailable> {
        let (head, version) = versioned_head(cells)?;
        Ok(View { reader: self, head, version })
    }
}

fn versioned_head(cells: &impl Cells) -> Result<(Head, u32), Unavailable> {
    let cell = cells.get(HEAD)?.ok_or(Unavailable::NotReady)?;
    let head = Head::decode(&cell.bytes)?;
    if head.is_ready() { Ok((head, cell.version)) } else { Err(Unavailable::NotReady) }
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
        let Reader { version, policies } = &mut *self.reader;
        if *version != self.version || policies.len() >= MAX_CACHED_POLICIES {
            policies.clear();
            *version = self.version;
        }
        if let Some(policy) = policies.get(&id) {
            return Ok(Some(Entry { record, policy: Rc::clone(policy) }));
        }
        // A key never names a policy that is not there: policies are written before the keys that name them.
        let policy = self.head.table(Kind::Policy).find(cells, &id.to_le_bytes())?.ok_or(ReadError::Damaged)?;
        let policy = Rc::new(Policy::compile(&PolicyRecord::decode(&policy)?));
        policies.insert(id, Rc::clone(&policy));
        Ok(Some(Entry { record, policy }))
    }
}

/// Part of a snapshot, or of the changes to one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batch<'a> {
    /// Policy records.
    pub policies: &'a [u8],
    /// Key records.
    pub keys: &'a [u8],
    /// Digests of keys that are no more.
    pub removed_keys: &'a [u8],
    /// Which revision is complete with this batch, if one is.
    pub revision: Option<u64>,
}

impl Batch<'_> {
    /// That all of it makes sense, before any of it is applied.
    fn verify(&self) -> Result<(), Damaged> {
        for record in Records::new(Kind::Policy, self.policies) {
            PolicyRecord::decode(record?.1)?;
        }
        for record in Records::new(Kind::Key, self.keys) {
            KeyRecord::decode(record?.1)?;
        }
        if self.removed_keys.as_chunks::<{ KeyDigest::LEN }>().1.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

/// Why a batch was not applied, or not wholly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The batch makes no sense; nothing was changed.
    #[error("the batch is damaged")]
    Invalid,
    /// Memory did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<Damaged> for ApplyError {
    fn from(_: Damaged) -> Self {
        Self::Invalid
    }
}

/// When the snapshot was last known to be the newest, by the writer's clock.
const CONTACT: &str = "contact";

/// Tells all workers that the snapshot is the newest as of `now`.
pub fn note_contact(cells: &impl Cells, now: u64) -> Result<(), CellError> {
    let cell = cells.get(CONTACT)?;
    cells.set(CONTACT, &now.to_le_bytes(), Expect::unchanged(cell.as_ref()))
}

/// What was [noted](note_contact) last.
pub fn last_contact(cells: &impl Cells) -> Result<Option<u64>, CellError> {
    let cell = cells.get(CONTACT)?;
    Ok(cell.and_then(|cell| Some(u64::from_le_bytes(*cell.bytes.first_chunk()?))))
}

/// Written by a worker that finds the snapshot damaged; see [`report_damage`].
const DAMAGE: &str = "damage";

/// Asks whoever writes the snapshot for a new one.
pub fn report_damage(cells: &impl Cells) -> Result<(), CellError> {
    let cell = cells.get(DAMAGE)?;
    if cell.as_ref().is_some_and(|cell| !cell.bytes.is_empty()) {
        return Ok(());
    }
    cells.set(DAMAGE, &[1], Expect::unchanged(cell.as_ref()))
}

/// Whether a worker has [asked](report_damage) for a new snapshot since this was called last.
pub fn take_damage_report(cells: &impl Cells) -> Result<bool, CellError> {
    match cells.get(DAMAGE)? {
        Some(cell) if !cell.bytes.is_empty() => {
            cells.set(DAMAGE, &[], Expect::Version(cell.version))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The one worker that changes the snapshot, for as long as it holds its term.
#[derive(Debug)]
pub struct Writer {
    term: u32,
    published: Head,
    head_version: u32,
    target: Option<Target>,
    sweep: Option<Sweep>,
}

/// What batches go to: the published snapshot, or the next one.
#[derive(Debug)]
struct Target {
    epoch: Epoch,
    policies: TableWriter,
    keys: TableWriter,
}

impl Writer {
    /// Takes the snapshot over from whoever wrote it before. A head that cannot be read counts as none.
    pub fn take_over(cells: &impl Cells, term: u32) -> Result<Self, WriteError> {
        let cell = cells.get(HEAD)?;
        let published = cell.as_ref().and_then(|cell| Head::decode(&cell.bytes).ok()).unwrap_or(Head::NONE);
        if published.term > term {
            return Err(WriteError::Superseded);
        }
        let expect = Expect::unchanged(cell.as_ref());
        let mut writer = Self { term, published, head_version: 0, target: None, sweep: None };
        writer.set_head(cells, Head { term, ..published }, expect)?;
        Ok(writer)
    }

    /// What is published, as `(epoch, revision)`, if anything is.
    pub fn position(&self) -> Option<(Epoch, u64)> {
        self.published.is_ready().then_some((self.published.epoch, self.published.revision))
    }

    /// About how many keys are published.
    pub fn keys(&self) -> u64 {
        self.published.keys
    }

    /// The batches that follow are changes to what is published.
    pub fn resume(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        if !self.published.is_ready() {
            return Err(WriteError::Damaged);
        }
        let Head { epoch, keys, policies, .. } = self.published;
        let resume = |kind, records| TableWriter::resume(cells, self.published.table(kind), self.term, records);
        self.target = Some(Target { epoch, policies: resume(Kind::Policy, policies)?, keys: resume(Kind::Key, keys)? });
        // A predecessor may have left something on the other side: a former snapshot, or one that it did not finish.
        self.sweep = Some(Sweep::new(self.published.side.other(), self.term));
        Ok(())
    }

    /// The batches that follow make up a new snapshot, of about `expected` keys.
    pub fn begin(&mut self, cells: &impl Cells, epoch: Epoch, expected: u64) -> Result<(), WriteError> {
        // Whatever is being swept lies where the new snapshot goes, and is overwritten by it.
        self.sweep = None;
        let side = self.published.side.other();
        let load = self.published.load.wrapping_add(1).max(1);
        let create =
            |kind, expected| TableWriter::create(cells, Table { kind, side, load, pages: 0 }, self.term, expected);
        self.target = Some(Target { epoch, policies: create(Kind::Policy, 0)?, keys: create(Kind::Key, expected)? });
        Ok(())
    }

    /// Applies a batch; returns the revision that is now published, if the batch completed one.
    pub fn apply(&mut self, cells: &impl Cells, batch: &Batch<'_>) -> Result<Option<u64>, ApplyError> {
        batch.verify()?;
        let Some(target) = &mut self.target else { return Err(ApplyError::Invalid) };
        for record in Records::new(Kind::Policy, batch.policies) {
            let (id, record) = record?;
            target.policies.upsert(cells, id, record)?;
        }
        target.policies.flush(cells)?;
        for record in Records::new(Kind::Key, batch.keys) {
            let (id, record) = record?;
            target.keys.upsert(cells, id, record)?;
        }
        for digest in batch.removed_keys.as_chunks::<{ KeyDigest::LEN }>().0 {
            target.keys.remove(cells, digest)?;
        }
        target.keys.flush(cells)?;
        let Some(revision) = batch.revision else { return Ok(None) };
        let (keys, policies) = (target.keys.table(), target.policies.table());
        let head = Head {
            side: keys.side,
            load: keys.load,
            term: self.term,
            key_pages: keys.pages,
            policy_pages: policies.pages,
            keys: target.keys.records(),
            policies: target.policies.records(),
            epoch: target.epoch,
            revision,
        };
        let before = self.published;
        self.set_head(cells, head, Expect::Version(self.head_version))?;
        if before.is_ready() && before.side != head.side {
            self.sweep = Some(Sweep::new(before.side, self.term));
        }
        Ok(Some(revision))
    }

    /// Frees at most `pages` pages of the snapshot before this one. Call it now and then.
    pub fn sweep(&mut self, cells: &impl Cells, pages: usize) -> Result<(), WriteError> {
        if let Some(sweep) = &mut self.sweep
            && sweep.step(cells, pages)?
        {
            self.sweep = None;
        }
        Ok(())
    }

    fn set_head(&mut self, cells: &impl Cells, head: Head, expect: Expect) -> Result<(), WriteError> {
        cells.set(HEAD, &head.encode(), expect)?;
        // The host does not tell the version of what it wrote.
        let cell = cells.get(HEAD)?.ok_or(WriteError::Host)?;
        if Head::decode(&cell.bytes) != Ok(head) {
            return Err(WriteError::Superseded);
        }
        self.published = head;
        self.head_version = cell.version;
        Ok(())
    }
}
