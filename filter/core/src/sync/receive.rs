//! The messages from the control plane.

use super::{End, Session, State, remote_usage};
use crate::host::{Host, Level, Nanos};
use crate::metrics::Metrics;
use latchkey_policy::record::{FORMAT, MIN_FORMAT};
use latchkey_policy::snapshot::{self, ApplyError, Batch, Epoch, Image, Tag};
use latchkey_policy::table::WriteError;
use latchkey_protocol::{Ack, Heartbeat, RemoteUsage, ToNode, Welcome, from_node, to_node};
use prost::Message as _;

/// The longest message that the control plane sends; longer ones are rejected.
const MAX_MESSAGE: usize = 4 << 20;

/// The effect of a message on the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The control plane feeds this node.
    Welcome,
    /// The control plane does not feed this node until an operator has confirmed its epoch.
    Waiting,
    /// The snapshot has just become the newest, or still is.
    Newest,
    /// The message does not make the snapshot the newest, or not yet.
    Other,
}

impl Session {
    /// Handles a message of `size` bytes.
    pub fn receive(
        &mut self,
        host: &impl Host,
        metrics: &Metrics,
        size: usize,
    ) -> Result<Received, End> {
        if size > MAX_MESSAGE {
            return Err(End::Protocol("a message that is too long"));
        }

        let message = host.received().ok_or(End::Unreachable)?;
        let message = ToNode::decode(&*message)
            .map_err(|_| End::Protocol("a message that is not of this protocol"))?;

        let received = match message.message {
            Some(to_node::Message::Welcome(welcome)) => self.welcome(host, metrics, &welcome),
            Some(to_node::Message::Waiting(_)) => self.waiting(metrics, host),
            Some(to_node::Message::Batch(batch)) => self.apply(host, metrics, &batch),
            Some(to_node::Message::Heartbeat(heartbeat)) => self.heartbeat(host, &heartbeat),
            Some(to_node::Message::RemoteUsage(elsewhere)) => self.remote_usage(host, elsewhere),
            Some(to_node::Message::UsageAck(ack)) => {
                self.reporter
                    .acknowledged(host, ack.sequence)
                    .map_err(WriteError::from)?;
                Ok(Received::Other)
            }
            // Other messages of a newer control plane are not for this version.
            None => Ok(Received::Other),
        };

        // This comes after the work, which may take a while: only the other side's silence counts.
        self.heard_at = host.now().map_err(|_| End::Unreachable)?;
        received
    }

    /// Handles the message that the control plane waits for its operator.
    fn waiting(&mut self, metrics: &Metrics, host: &impl Host) -> Result<Received, End> {
        if self.state != State::Greeted {
            return Err(End::Protocol("Waiting after Welcome"));
        }
        self.state = State::Waiting;
        metrics.waiting(host, true);
        Ok(Received::Waiting)
    }

    /// Handles a heartbeat, which shows whether the snapshot is the newest.
    fn heartbeat(&mut self, host: &impl Host, heartbeat: &Heartbeat) -> Result<Received, End> {
        let tag = Tag::read(&heartbeat.tag).ok_or(End::Protocol("a tag that is not 16 bytes"))?;
        let is_newest = self
            .writer
            .position()
            .is_some_and(|(_, revision)| revision == heartbeat.revision)
            && (tag == self.writer.tag() || (tag == Tag::NONE && !self.contact.echoes()));
        if !is_newest || self.state != State::Following {
            return Ok(Received::Other);
        }
        self.note_contact(host, heartbeat.echo)?;
        Ok(Received::Newest)
    }

    /// Notes that the snapshot was the newest. If that is a contact, workers may decide by it.
    fn note_contact(&mut self, host: &impl Host, echo: Nanos) -> Result<(), End> {
        let monotonic = host.monotonic().map_err(|_| End::Host)?;
        if self.contact.note(host, monotonic, echo) {
            self.current = true;
            self.writer.wake(host)?;
        }
        Ok(())
    }

    /// Handles the answer to Hello: changes follow, or a whole snapshot.
    fn welcome(
        &mut self,
        host: &impl Host,
        metrics: &Metrics,
        welcome: &Welcome,
    ) -> Result<Received, End> {
        if !matches!(self.state, State::Greeted | State::Waiting) {
            return Err(End::Protocol("a second welcome"));
        }

        if !(MIN_FORMAT..=FORMAT).contains(&welcome.format) {
            return Err(End::Protocol(
                "a record format that this filter cannot read",
            ));
        }

        let epoch = Epoch::try_from(&*welcome.epoch)
            .map_err(|_| End::Protocol("an epoch that is not 16 bytes"))?;

        if welcome.resume {
            if self.offered.is_none_or(|(offered, _)| offered != epoch) {
                return Err(End::Protocol(
                    "changes to a snapshot that this node does not have",
                ));
            }
            self.writer.resume(host)?;
            self.state = State::Following;
        } else {
            self.begin(host, epoch, welcome)?;
            self.state = State::Loading;
        }

        self.epoch = epoch;
        self.contact.welcome(welcome.protocol);
        self.writer.set_staleness(host, self.staleness)?;
        metrics.stream_connected(host, true);
        metrics.waiting(host, false);
        host.log(
            Level::Info,
            if welcome.resume {
                "following the control plane by changes"
            } else {
                "loading a snapshot"
            },
        );

        let (monotonic, now) = (
            host.monotonic().map_err(|_| End::Host)?,
            host.now().map_err(|_| End::Unreachable)?,
        );
        self.say_alive(host, monotonic, now)?;
        Ok(Received::Welcome)
    }

    /// Prepares for a whole snapshot, or for the rest of one.
    fn begin(&mut self, host: &impl Host, epoch: Epoch, welcome: &Welcome) -> Result<(), End> {
        let Some(load) = &welcome.load else {
            self.writer.begin(epoch, welcome.keys);
            return Ok(());
        };

        let image = Image::try_from(&*load.image)
            .map_err(|_| End::Protocol("an image that is not 16 bytes"))?;
        if load.batches == 0 {
            self.writer.begin_image(epoch, welcome.keys, Some(image));
            return Ok(());
        }

        if self
            .offered_load
            .is_none_or(|(offered, batches)| offered != image || batches < load.batches)
        {
            return Err(End::Protocol(
                "the rest of a snapshot that this node does not have",
            ));
        }
        Ok(self.writer.continue_load(host, epoch, load.batches)?)
    }

    /// Applies a batch and acknowledges it.
    fn apply(
        &mut self,
        host: &impl Host,
        metrics: &Metrics,
        batch: &latchkey_protocol::Batch,
    ) -> Result<Received, End> {
        if matches!(self.state, State::Greeted | State::Waiting) {
            return Err(End::Protocol("a batch before the welcome"));
        }

        if Some(batch.sequence) != self.sequence.checked_add(1) {
            return Err(End::Protocol("a batch out of sequence"));
        }

        let changes = Batch {
            routes: &batch.routes,
            policies: &batch.policies,
            keys: &batch.keys,
            removed_keys: &batch.removed_keys,
            removed_policies: &batch.removed_policies,
            revision: (batch.revision != 0).then_some(batch.revision),
            tag: Tag::read(&batch.tag).ok_or(End::Protocol("a tag that is not 16 bytes"))?,
        };

        let published = self
            .writer
            .apply(host, &changes)
            .map_err(|error| match error {
                ApplyError::Invalid => End::Protocol("a damaged batch"),
                ApplyError::Write(error) => End::Memory(error),
            })?;

        self.sequence = batch.sequence;
        if let Some(revision) = published {
            self.bring_into_force(host, metrics, revision)?;
        }

        let revision = self.writer.position().map_or(0, |(_, revision)| revision);
        // While a snapshot of another history is being loaded, the revision in force says nothing
        // about this one.
        let revision = if self.state == State::Loading {
            0
        } else {
            revision
        };

        self.send(
            host,
            from_node::Message::Ack(Ack {
                sequence: self.sequence,
                revision,
            }),
        )?;

        Ok(if published.is_some() {
            Received::Newest
        } else {
            Received::Other
        })
    }

    /// Records that a revision has been published.
    fn bring_into_force(
        &mut self,
        host: &impl Host,
        metrics: &Metrics,
        revision: u64,
    ) -> Result<(), End> {
        if self.state == State::Loading {
            self.state = State::Following;
            // A report of damage that cannot be cleared now costs another load.
            let _ = snapshot::clear_damage(host);
            metrics.snapshot_loaded(host);
            host.log(
                Level::Info,
                &format!("the snapshot at revision {revision} is now in force"),
            );
        }

        metrics.published(host, revision, self.writer.keys());
        self.pending.release(host, &self.epoch)?;
        if !self.contact.echoes() {
            self.note_contact(host, 0)?;
        }

        Ok(())
    }

    /// Takes over the counts of other nodes' requests.
    fn remote_usage(&mut self, host: &impl Host, elsewhere: RemoteUsage) -> Result<Received, End> {
        if matches!(self.state, State::Greeted | State::Waiting) {
            return Err(End::Protocol("counts before the welcome"));
        }

        // While requests are still decided by another history, its counters would replace these
        // counts.
        if self
            .writer
            .position()
            .is_some_and(|(published, _)| published != self.epoch)
        {
            self.pending.hold(elsewhere.keys);
        } else {
            remote_usage::count(host, &self.epoch, &elsewhere.keys)?;
        }
        Ok(Received::Other)
    }
}
