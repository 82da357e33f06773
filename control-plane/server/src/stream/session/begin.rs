//! How a stream begins: whether the node's history is ours, and from where it goes on.

use latchkey_protocol::{Waiting, Welcome, to_node};
use latchkey_store::{Epoch, Head, Vouched};
use std::time::Duration;
use tokio::time::{self, Instant};
use tonic::Status;
use tracing::{error, info, warn};

use super::{End, HEARTBEAT, Session};
use crate::metrics::Snapshot;
use crate::nodes::hello::ValidatedHello;
use crate::stream::window::Window;

/// Changes are read all at once, unlike a whole snapshot, which is what a node gets that is further
/// behind.
const RESUME_BELOW: u32 = 100_000;

/// For how long a stream of an unknown epoch is held, before the node may try another control
/// plane.
const WAITING_FOR: Duration = Duration::from_secs(10);

/// A node that cannot be written down is served once the last note is so old that a start knows
/// that it does not know all nodes.
const NOTED_BEFORE: Duration = Duration::from_secs(7);

const WRITTEN_CHECKED: Duration = Duration::from_millis(100);

impl Session {
    /// Welcomes the node, and sends it a whole snapshot unless it can go on with what it has.
    /// Returns the revision from which on changes are to be sent.
    pub(super) async fn begin(&mut self, hello: ValidatedHello) -> Result<u64, End> {
        // Also one that is to wait may be serving, and a start has to count it.
        let written = self.connection.write_down();
        if let Some(epoch) = hello.epoch {
            self.accepted(epoch).await?;
        }
        self.written(written).await?;
        match self.resumes_from(&hello).await? {
            Some(head) => self.resume(head),
            None => self.load(&hello).await,
        }
    }

    fn resume(&mut self, head: Head) -> Result<u64, End> {
        self.window = Window::new(head.revision);
        self.position = Some(head);
        self.connection.acknowledge(head.revision);
        self.welcome(Welcome {
            resume: true,
            ..Welcome::default()
        })?;
        // It was not told what others admitted while it was away.
        self.untold = Some(0);
        Ok(head.revision)
    }

    async fn load(&mut self, hello: &ValidatedHello) -> Result<u64, End> {
        let shared = self.shared.clone();
        let load = self
            .meanwhile(shared.images.load(&hello.id, hello.load.as_ref()))
            .await??;
        // To make room for.
        let keys = self.read(async |store| store.live_keys().await).await?;
        self.welcome(Welcome {
            keys,
            load: Some(load.load()),
            ..Welcome::default()
        })?;
        self.loading = Some(load);
        // Before it admits anything: what was admitted is counted.
        let mut page = Some(0);
        while let Some(after) = page {
            page = self.send_elsewhere(after, false).await?;
        }
        self.send_image().await
    }

    fn welcome(&mut self, welcome: Welcome) -> Result<(), End> {
        let kind = if welcome.resume {
            Snapshot::RESUMED
        } else {
            Snapshot::FULL
        };
        self.shared.metrics.snapshots.get_or_create(&kind).inc();
        self.welcomed = true;
        self.send(to_node::Message::Welcome(Welcome {
            epoch: self.shared.store.epoch().to_vec(),
            format: self.format,
            heartbeat_millis: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
            protocol: 1,
            ..welcome
        }))
    }

    /// Waits until the node is written down, so that a control plane that starts again counts it
    /// with the limit that it has from Welcome on.
    async fn written(&mut self, written: impl Future<Output = ()>) -> Result<(), End> {
        let written = time::timeout(NOTED_BEFORE, written);
        let _ = self.meanwhile(written).await?;
        while !self.connection.is_written() && self.shared.registry.noted_ago() < NOTED_BEFORE {
            self.meanwhile(time::sleep(WRITTEN_CHECKED)).await?;
        }
        Ok(())
    }

    /// Holds the stream until the node's epoch is accepted.
    async fn accepted(&mut self, epoch: Epoch) -> Result<(), End> {
        let mut accepted = self.shared.store.watch_accepted();
        if self.shared.store.accepts(&epoch) {
            return Ok(());
        }
        let (node, handle, name) = (
            self.connection.id.node_id.clone(),
            self.connection.id.handle().to_owned(),
            hex::encode(epoch),
        );
        warn!(
            node,
            handle,
            epoch = name,
            "a node holds a snapshot of another database and keeps it until its epoch is accepted \
             (`latchkey node accept-epoch`)"
        );
        self.shared.metrics.waiting_streams.inc();
        self.waiting = true;
        self.connection.wait(Some(epoch));
        let own = self.shared.store.epoch().to_vec();
        self.send(to_node::Message::Waiting(Waiting { epoch: own }))?;
        self.heartbeat();
        let deadline = Instant::now() + WAITING_FOR;
        let accepted = accepted.wait_for(|accepted| accepted.contains(&epoch));
        let Ok(accepted) = self
            .meanwhile(time::timeout_at(deadline, async { accepted.await.is_ok() }))
            .await?
        else {
            let reason =
                "the node's snapshot comes from another database, whose epoch is not accepted";
            return Err(Status::failed_precondition(reason).into());
        };
        if !accepted {
            return Err(super::stopping().into());
        }
        info!(node, handle, epoch = name, "the node's epoch is accepted");
        self.waiting = false;
        self.connection.wait(None);
        Ok(())
    }

    /// The revision that the node can go on from, if what it holds is part of this store's history.
    async fn resumes_from(&mut self, hello: &ValidatedHello) -> Result<Option<Head>, End> {
        let revision = hello.revision;
        if hello.epoch != Some(self.shared.store.epoch()) || revision == 0 {
            return Ok(None);
        }
        // What it has may hold keys of ended owners, which it does not know of. Its
        // acknowledgements are not to say so.
        if self.ended.are_unknown() {
            return Ok(None);
        }
        // Version 0.1 has no tags.
        let Some(tag) = hello.tag else {
            return Ok(None);
        };
        match self
            .read(async |store| store.vouches(revision, &tag).await)
            .await?
        {
            Vouched::Known => {
                let few = self
                    .read(async |store| store.few_changes(revision, RESUME_BELOW).await)
                    .await?;
                Ok(few.then_some(Head { revision, tag }))
            }
            Vouched::Pruned => Ok(None),
            Vouched::Unknown => {
                self.shared.metrics.history_mismatches.inc();
                error!(
                    node = self.connection.id.node_id,
                    handle = self.connection.id.handle(),
                    revision,
                    newest = self.shared.store.revision(),
                    "a node holds a revision that this database does not have: changes were lost, \
                     for example because an earlier state was put back without `latchkey \
                     restore`. The node loads a full snapshot"
                );
                Ok(None)
            }
        }
    }
}
