//! The start of a stream: checks that the node's history is ours, and finds the revision to
//! continue from.

use latchkey_protocol::{Waiting, Welcome, to_node};
use latchkey_store::{Epoch, Head, Vouched};
use std::time::Duration;
use tokio::time::{self, Instant};
use tonic::Status;
use tracing::{error, info, warn};

use super::{End, HEARTBEAT, Session};
use crate::metrics::StreamStart;
use crate::nodes::hello::ValidatedHello;
use crate::stream::window::Window;

/// The maximum number of changes for which a node resumes. Changes are read all at once, so a node
/// that lags more loads a whole snapshot.
const RESUME_BELOW: u32 = 100_000;

/// The time for which a stream with an unaccepted epoch is held. Then the node may try another
/// control plane.
const WAITING_FOR: Duration = Duration::from_secs(10);

/// A node that cannot be stored is served once the last record of this control plane is this old. A
/// restarted control plane then knows that it does not know all nodes.
const RECORDED_BEFORE: Duration = Duration::from_secs(7);

const PERSISTED_CHECK_INTERVAL: Duration = Duration::from_millis(100);

impl Session {
    /// Welcomes the node, and sends it a whole snapshot unless it can continue with its own.
    /// Returns the revision after which changes must be sent.
    pub(super) async fn begin(&mut self, hello: ValidatedHello) -> Result<u64, End> {
        // A node that has to wait may also be serving, and must count after a restart.
        let persisted = self.connection.persist();
        if let Some(epoch) = hello.epoch {
            self.wait_until_accepted(epoch).await?;
        }
        self.wait_until_persisted(persisted).await?;
        match self.resume_point(&hello).await? {
            Some(head) => self.resume(head),
            None => self.load(&hello).await,
        }
    }

    /// Welcomes the node to continue from its own snapshot.
    fn resume(&mut self, head: Head) -> Result<u64, End> {
        self.window = Window::new(head.revision);
        self.position = Some(head);
        self.connection.acknowledge(head.revision);
        self.welcome(Welcome {
            resume: true,
            ..Welcome::default()
        })?;
        // The node missed the reports of other nodes while it was disconnected.
        self.usage_after = Some(0);
        Ok(head.revision)
    }

    /// Welcomes the node to a whole snapshot and sends it.
    async fn load(&mut self, hello: &ValidatedHello) -> Result<u64, End> {
        let shared = self.shared.clone();
        let load = self
            .serve_while(shared.snapshots.load(&hello.id, hello.load.as_ref()))
            .await??;
        // The number of keys for which the node makes room.
        let keys = self.read(async |store| store.live_keys().await).await?;
        self.welcome(Welcome {
            keys,
            load: Some(load.load()),
            ..Welcome::default()
        })?;
        self.loading = Some(load);

        // Sent before the node admits requests, so that earlier ones count.
        let mut page = Some(0);
        while let Some(after) = page {
            page = self.send_remote_usage_page(after, false).await?;
        }
        self.send_snapshot().await
    }

    fn welcome(&mut self, welcome: Welcome) -> Result<(), End> {
        let kind = if welcome.resume {
            StreamStart::RESUMED
        } else {
            StreamStart::FULL
        };

        self.shared.metrics.stream.starts.get_or_create(&kind).inc();
        self.welcomed = true;
        self.send(to_node::Message::Welcome(Welcome {
            epoch: self.shared.store.epoch().to_vec(),
            format: self.format,
            heartbeat_millis: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
            protocol: 1,
            ..welcome
        }))
    }

    /// Waits until the node is stored, so that a restarted control plane counts it with the limit
    /// that it has from Welcome on.
    async fn wait_until_persisted(&mut self, attempt: impl Future<Output = ()>) -> Result<(), End> {
        let attempt = time::timeout(RECORDED_BEFORE, attempt);
        let _ = self.serve_while(attempt).await?;
        while !self.connection.is_persisted()
            && self.shared.registry.since_recorded() < RECORDED_BEFORE
        {
            self.serve_while(time::sleep(PERSISTED_CHECK_INTERVAL))
                .await?;
        }
        Ok(())
    }

    /// Holds the stream until the node's epoch is accepted.
    async fn wait_until_accepted(&mut self, epoch: Epoch) -> Result<(), End> {
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
        self.shared.metrics.stream.waiting.inc();

        self.waiting = true;
        self.connection.wait(Some(epoch));
        let own = self.shared.store.epoch().to_vec();
        self.send(to_node::Message::Waiting(Waiting { epoch: own }))?;
        self.heartbeat();

        let deadline = Instant::now() + WAITING_FOR;
        let accepted = accepted.wait_for(|accepted| accepted.contains(&epoch));
        let Ok(accepted) = self
            .serve_while(time::timeout_at(deadline, async { accepted.await.is_ok() }))
            .await?
        else {
            let reason =
                "the node's snapshot comes from another database, whose epoch is not accepted";
            return Err(Status::failed_precondition(reason).into());
        };
        if !accepted {
            return Err(super::shutting_down().into());
        }

        info!(node, handle, epoch = name, "the node's epoch is accepted");
        self.waiting = false;
        self.connection.wait(None);
        Ok(())
    }

    /// Returns the revision from which the node can continue, if its snapshot is part of this
    /// store's history.
    async fn resume_point(&mut self, hello: &ValidatedHello) -> Result<Option<Head>, End> {
        let revision = hello.revision;
        if hello.epoch != Some(self.shared.store.epoch()) || revision == 0 {
            return Ok(None);
        }
        // Its snapshot may contain keys of ended owners, which such a node does not know about. Its
        // acknowledgements must not claim that they are refused.
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
                self.shared.metrics.stream.history_mismatches.inc();
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
