//! Changing the snapshot by batches from the control plane.

mod batch;
mod target;

use super::head::{self, Head};
use super::progress::{self, Image, Progress};
use super::{Epoch, Tag};
use crate::cells::{Cells, Expect};
use crate::record::Kind;
use crate::table::{Side, Sweep, Table, TableWriter, WriteError};
use target::{Load, Target};

pub use batch::{ApplyError, Batch};

/// The one worker that changes the snapshot, for as long as it holds its term.
#[derive(Debug)]
pub struct Writer {
    term: u32,
    published: Head,
    head_version: u32,
    target: Option<Target>,
    sweep: Option<Sweep>,
    /// The part of a load that a predecessor left, if it can be continued.
    left: Option<Progress>,
}

impl Writer {
    /// Takes the snapshot over from its former writer. A head that cannot be read counts as none.
    pub fn take_over(cells: &impl Cells, term: u32) -> Result<Self, WriteError> {
        let cell = cells.get(head::CELL)?;
        let published = cell
            .as_ref()
            .and_then(|cell| Head::decode(&cell.bytes).ok())
            .unwrap_or(Head::NONE);
        if published.term > term {
            return Err(WriteError::Superseded);
        }

        let expect = Expect::unchanged(cell.as_ref());
        let mut writer = Self {
            term,
            published,
            head_version: 0,
            target: None,
            sweep: None,
            left: None,
        };

        writer.set_head(cells, Head { term, ..published }, expect)?;

        let (side, load) = writer.next_place();
        writer.left = progress::read(cells)?.filter(|left| (left.side, left.load) == (side, load));
        Ok(writer)
    }

    /// Returns the place of the next whole snapshot.
    fn next_place(&self) -> (Side, u32) {
        (
            self.published.side.other(),
            self.published.load.wrapping_add(1).max(1),
        )
    }

    /// Returns the published `(epoch, revision)`, if there is a published snapshot.
    pub fn position(&self) -> Option<(Epoch, u64)> {
        self.published
            .is_ready()
            .then_some((self.published.epoch, self.published.revision))
    }

    /// Returns the tag of the published revision.
    pub fn tag(&self) -> Tag {
        self.published.tag
    }

    /// Returns the staleness limit that the control plane was last sent, in seconds; 0 is none.
    pub fn staleness(&self) -> u64 {
        self.published.staleness
    }

    /// Returns the whole snapshot that a predecessor did not finish loading, and the number of its
    /// batches that are in memory.
    pub fn progress(&self) -> Option<(Image, u64)> {
        self.left.as_ref().map(|left| (left.image, left.batches))
    }

    /// Returns the number of published keys, approximately.
    pub fn keys(&self) -> u64 {
        self.published.keys
    }

    /// Begins to follow: the next batches are changes to the published snapshot.
    pub fn resume(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        if !self.published.is_ready() {
            return Err(WriteError::Damaged);
        }

        // The part that was loaded is swept.
        self.left = None;
        progress::write(cells, self.term, None, None)?;

        let Head {
            epoch,
            keys,
            policies,
            routes: rerouted,
            ..
        } = self.published;

        let resume = |kind, records| {
            TableWriter::resume(cells, self.published.table(kind), self.term, records)
        };
        let (routes, policies) = (resume(Kind::Routes, 1)?, resume(Kind::Policy, policies)?);
        let keys = resume(Kind::Key, keys)?;

        self.target = Some(Target {
            epoch,
            routes,
            policies,
            keys,
            rerouted,
            unused: Vec::new(),
            load: None,
        });

        // A predecessor may have left something on the other side: a former snapshot, or one that
        // it did not finish.
        self.sweep = Some(Sweep::new(self.published.side.other(), self.term));
        Ok(())
    }

    /// Begins a load: the next batches make up a new snapshot, of about `expected` keys.
    pub fn begin(&mut self, epoch: Epoch, expected: u64) {
        self.begin_image(epoch, expected, None);
    }

    /// Begins a load: the next batches make up a new snapshot, of about `expected` keys. If `image`
    /// names it, a successor can continue the load.
    pub fn begin_image(&mut self, epoch: Epoch, expected: u64, image: Option<Image>) {
        // A sweep in progress covers the place of the new snapshot, which is overwritten anyway.
        self.sweep = None;
        self.left = None;

        let (side, load) = self.next_place();
        let create = |kind, expected| {
            TableWriter::create(
                Table {
                    kind,
                    side,
                    load,
                    pages: 0,
                },
                self.term,
                expected,
            )
        };

        let (routes, policies, keys) = (
            create(Kind::Routes, 0),
            create(Kind::Policy, 0),
            create(Kind::Key, expected),
        );

        let load = Some(Load {
            image,
            batches: 0,
            claimed: false,
        });

        self.target = Some(Target {
            epoch,
            routes,
            policies,
            keys,
            rerouted: 0,
            unused: Vec::new(),
            load,
        });
    }

    /// Continues the load of a snapshot of which a predecessor has loaded a part
    /// ([`Self::progress`]): the next batches follow the first `batches` of it. A batch that comes
    /// a second time does no harm.
    pub fn continue_load(
        &mut self,
        cells: &impl Cells,
        epoch: Epoch,
        batches: u64,
    ) -> Result<(), WriteError> {
        let is_here = |left: &Progress| left.epoch == epoch && batches <= left.batches;
        let found = self
            .left
            .take()
            .filter(is_here)
            .ok_or(WriteError::Damaged)?;

        let left = Progress {
            batches,
            ..found.clone()
        };
        progress::write(cells, self.term, Some(&left), Some(&found))?;
        self.sweep = None;

        let [routes, policies, keys] = &left.tables;
        let (routes, policies, keys) = (
            routes.restore(cells, Kind::Routes, &left, self.term)?,
            policies.restore(cells, Kind::Policy, &left, self.term)?,
            keys.restore(cells, Kind::Key, &left, self.term)?,
        );

        let load = Some(Load {
            image: Some(left.image),
            batches: left.batches,
            claimed: true,
        });
        let rerouted = left.rerouted;

        self.target = Some(Target {
            epoch,
            routes,
            policies,
            keys,
            rerouted,
            unused: Vec::new(),
            load,
        });
        Ok(())
    }

    /// Records the staleness limit that the control plane was sent: no worker enforces a longer
    /// one.
    pub fn set_staleness(&mut self, cells: &impl Cells, seconds: u64) -> Result<(), WriteError> {
        self.change_head(
            cells,
            Head {
                staleness: seconds,
                ..self.published
            },
        )
    }

    /// Suspends the snapshot: no worker decides by it until it is [woken](Self::wake).
    pub fn suspend(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        self.change_head(
            cells,
            Head {
                suspended: true,
                ..self.published
            },
        )
    }

    /// Lets workers decide by the snapshot again, which is current.
    pub fn wake(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        self.change_head(
            cells,
            Head {
                suspended: false,
                ..self.published
            },
        )
    }

    fn change_head(&mut self, cells: &impl Cells, head: Head) -> Result<(), WriteError> {
        if head == self.published {
            Ok(())
        } else {
            self.set_head(cells, head, Expect::Version(self.head_version))
        }
    }

    /// Applies a batch. Returns the revision that is now published, if the batch completed one.
    pub fn apply(
        &mut self,
        cells: &impl Cells,
        batch: &Batch<'_>,
    ) -> Result<Option<u64>, ApplyError> {
        batch.verify()?;
        let Some(target) = &mut self.target else {
            return Err(ApplyError::Invalid);
        };

        // Without rules every valid key could do everything.
        if batch.revision.is_some() && target.routes.records() == 0 && batch.routes.is_empty() {
            return Err(ApplyError::Invalid);
        }

        target.claim(cells, self.term)?;
        target.write(cells, batch)?;
        let Some(revision) = batch.revision else {
            target.note_progress(cells, self.term)?;
            return Ok(None);
        };

        target.complete(cells)?;
        let before = self.published;
        let head = target.head(before, self.term, revision, batch.tag);
        self.set_head(cells, head, Expect::Version(self.head_version))?;
        if before.is_ready() && before.side != head.side {
            self.sweep = Some(Sweep::new(before.side, self.term));
        }

        // This must come last: a worker may be on its way from a key's record, which it read under
        // the head before, to its policy.
        if let Some(target) = &mut self.target {
            target.clean_up(cells, self.term)?;
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

    fn set_head(
        &mut self,
        cells: &impl Cells,
        head: Head,
        expect: Expect,
    ) -> Result<(), WriteError> {
        cells.set(head::CELL, &head.encode(), expect)?;

        // The host does not return the version of what it wrote.
        let cell = cells.get(head::CELL)?.ok_or(WriteError::Host)?;
        if Head::decode(&cell.bytes) != Ok(head) {
            return Err(WriteError::Superseded);
        }

        self.published = head;
        self.head_version = cell.version;

        // Readers that have a head read no other until this call.
        cells.advance_generation();
        Ok(())
    }
}
