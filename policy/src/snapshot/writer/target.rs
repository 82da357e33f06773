//! The tables that batches are written to.

use super::batch::{ApplyError, Batch, POLICY_ID_LEN};
use crate::cells::Cells;
use crate::key::KeyDigest;
use crate::record::{Kind, Records};
use crate::snapshot::head::Head;
use crate::snapshot::progress::{self, Extent, Image, Progress};
use crate::snapshot::{Epoch, Tag};
use crate::table::{Table, TableWriter, WriteError};

/// The target of batches: the published snapshot, or the next one.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) epoch: Epoch,
    /// The table of the settings, which has one record.
    pub(super) routes: TableWriter,
    pub(super) policies: TableWriter,
    pub(super) keys: TableWriter,
    /// The number of changes of the route rules.
    pub(super) rerouted: u32,
    /// Policies that are removed once a revision without them is published.
    pub(super) unused: Vec<[u8; POLICY_ID_LEN]>,
    pub(super) load: Option<Load>,
}

/// A whole snapshot that is being received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// The name of the data that is sent, if the load can be continued.
    pub(super) image: Option<Image>,
    /// The number of batches so far, including those of earlier streams.
    pub(super) batches: u64,
    /// True if the cell of the progress belongs to this writer.
    pub(super) claimed: bool,
}

impl Target {
    /// Claims the progress of a load at its first batch.
    pub(super) fn claim(&mut self, cells: &impl Cells, term: u32) -> Result<(), WriteError> {
        if let Some(load) = &mut self.load
            && !load.claimed
        {
            // Pages that a predecessor vouches for are overwritten from here on.
            progress::write(cells, term, None, None)?;
            load.claimed = true;
        }
        Ok(())
    }

    /// Writes the changes of a batch. Policies that it removes remain until the revision is
    /// published.
    pub(super) fn write(
        &mut self,
        cells: &impl Cells,
        batch: &Batch<'_>,
    ) -> Result<(), ApplyError> {
        for record in Records::new(Kind::Policy, batch.policies) {
            let (id, record) = record?;
            self.policies.upsert(cells, id, record)?;
        }

        self.policies.flush(cells)?;

        for record in Records::new(Kind::Key, batch.keys) {
            let (id, record) = record?;
            self.keys.upsert(cells, id, record)?;
        }

        for digest in batch.removed_keys.as_chunks::<{ KeyDigest::LEN }>().0 {
            self.keys.remove(cells, digest)?;
        }

        self.keys.flush(cells)?;

        // This comes after removed keys: a worker that has no rules yet reads them at once, and an
        // owner whose last keys are removed by this change is no longer among the ended ones.
        for record in Records::new(Kind::Routes, batch.routes) {
            let (id, record) = record?;
            self.routes.upsert(cells, id, record)?;
            self.rerouted = self.rerouted.wrapping_add(1);
        }

        self.routes.flush(cells)?;

        self.unused
            .extend_from_slice(batch.removed_policies.as_chunks().0);
        Ok(())
    }

    /// Completes the tables of a revision.
    pub(super) fn complete(&mut self, cells: &impl Cells) -> Result<(), WriteError> {
        for table in [&mut self.routes, &mut self.policies, &mut self.keys] {
            table.complete(cells)?;
        }
        Ok(())
    }

    /// Returns the head that publishes these tables, which follows `published`.
    pub(super) fn head(&self, published: Head, term: u32, revision: u64, tag: Tag) -> Head {
        let (keys, policies) = (self.keys.table(), self.policies.table());
        Head {
            side: keys.side,
            load: keys.load,
            term,
            key_pages: keys.pages,
            policy_pages: policies.pages,
            routes: self.rerouted,
            keys: self.keys.records(),
            policies: self.policies.records(),
            epoch: self.epoch,
            revision,
            tag,
            ..published
        }
    }

    /// Ends the load, if there is one, and removes unused policies. Call it after the head is
    /// published.
    pub(super) fn clean_up(&mut self, cells: &impl Cells, term: u32) -> Result<(), WriteError> {
        if self.load.take().is_some() {
            progress::write(cells, term, None, None)?;
        }
        for id in std::mem::take(&mut self.unused) {
            self.policies.remove(cells, &id)?;
        }
        self.policies.flush(cells)
    }

    /// Notes that another batch of a load is in memory.
    pub(super) fn note_progress(
        &mut self,
        cells: &impl Cells,
        term: u32,
    ) -> Result<(), WriteError> {
        let Some(load) = &mut self.load else {
            return Ok(());
        };
        load.batches = load.batches.saturating_add(1);
        let Some(image) = load.image else {
            return Ok(());
        };

        let Table {
            side, load: number, ..
        } = self.keys.table();
        let progress = Progress {
            image,
            batches: load.batches,
            epoch: self.epoch,
            side,
            load: number,
            rerouted: self.rerouted,
            tables: [
                Extent::from_writer(&self.routes),
                Extent::from_writer(&self.policies),
                Extent::from_writer(&self.keys),
            ],
        };

        progress::write(cells, term, Some(&progress), None)
    }
}
