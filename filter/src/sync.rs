//! One stream to the control plane, as seen by the worker that holds the lease. Input is messages
//! and the time; output is changes of the snapshot in shared memory and acknowledgements.

mod contact;
mod elsewhere;
mod end;
mod hello;
mod limit;

use crate::host::{Host, Level, Nanos, StreamId};
use crate::metrics::Metrics;
use crate::report::Reporter;
use contact::Contact;
use elsewhere::Held;
pub use end::End;
use latchkey_policy::ledger;
use latchkey_policy::record::{FORMAT, MIN_FORMAT};
use latchkey_policy::snapshot::{self, ApplyError, Batch, Epoch, Image, Tag, Writer};
use latchkey_policy::table::WriteError;
use latchkey_protocol::{Ack, Elsewhere, FromNode, Heartbeat, ToNode, Welcome, from_node, to_node};
use limit::is_longer;
use prost::Message as _;

/// The time without any message after which a stream is given up. The control plane sends a
/// heartbeat every second.
const SILENCE: Nanos = 3_500_000_000;

/// The same time while a snapshot is being loaded: on a slow link a heartbeat waits for half a
/// megabyte of batches before it.
const LOADING_SILENCE: Nanos = 30_000_000_000;

/// The longest message that the control plane sends; longer ones are rejected.
const MAX_MESSAGE: usize = 4 << 20;

/// The age from which on a session shows that the control plane works.
const PROBATION: Nanos = 5_000_000_000;

/// The age from which on a session can be handed over to another thread.
const SETTLED: Nanos = 1_000_000_000;

/// The number of pages of the former snapshot that are freed at once: well under a millisecond.
const SWEEP_PAGES: usize = 256;

/// An open stream.
#[derive(Debug)]
pub struct Session {
    stream: StreamId,
    writer: Writer,
    who: Identity,
    /// The snapshot that Hello offered: its history and revision.
    offered: Option<(Epoch, u64)>,
    /// The partly loaded snapshot that Hello offered.
    offered_load: Option<(Image, u64)>,
    /// The staleness limit in Hello, in seconds; 0 is none.
    staleness: u64,
    opened_at: Nanos,
    heard_at: Nanos,
    /// The time of the last look for another staleness limit, by the monotonic clock.
    limit_at: Nanos,
    state: State,
    /// True if the snapshot was the newest once on this stream.
    current: bool,
    /// The sequence of the last batch.
    sequence: u64,
    /// The history of batches and counts, once Welcome has named it.
    epoch: Epoch,
    contact: Contact,
    reporter: Reporter,
    held: Held,
}

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

/// The health of a session that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The session may still turn out to end at once.
    Young,
    /// The session has lived long enough to reset the back-off.
    Proven,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Hello is sent.
    Greeted,
    /// The control plane waits for its operator.
    Waiting,
    /// Batches make up a whole snapshot.
    Loading,
    /// Batches are changes.
    Following,
}

/// The opener of the stream.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The term of the lease.
    pub term: u32,
    /// The instance of this process.
    pub instance: u64,
    /// The staleness limit of this worker's configuration, in seconds; 0 is none.
    pub staleness: u64,
}

impl Session {
    /// Takes the snapshot over and sends Hello. With `afresh`, a whole snapshot is loaded.
    pub fn open(
        host: &impl Host,
        stream: StreamId,
        who: Identity,
        now: Nanos,
        afresh: bool,
    ) -> Result<Self, End> {
        let mut writer = Writer::take_over(host, who.term)?;
        // Another worker may have found damage, and ended before a whole snapshot was there.
        let afresh = afresh || snapshot::is_damaged(host).map_err(WriteError::from)?;
        let limit_at = host.monotonic().map_err(|_| End::Host)?;
        let longest = snapshot::longest_limit(host, limit_at).map_err(WriteError::from)?;
        let staleness = longest.unwrap_or(who.staleness);
        // A shorter limit holds from now on, a longer one once the control plane has it.
        if is_longer(writer.staleness(), staleness) {
            writer.set_staleness(host, staleness)?;
        }
        let session = Self {
            stream,
            who,
            offered: writer.position().filter(|_| !afresh),
            offered_load: writer.progress().filter(|_| !afresh),
            writer,
            staleness,
            opened_at: now,
            heard_at: now,
            limit_at,
            state: State::Greeted,
            current: false,
            sequence: 0,
            epoch: Epoch::default(),
            contact: Contact::default(),
            reporter: Reporter::default(),
            held: Held::default(),
        };
        let hello = session.hello(host, now)?;
        session.send(host, from_node::Message::Hello(hello))?;
        Ok(session)
    }

    /// Returns the host's identifier of the stream.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Returns the opener of the stream.
    pub fn identity(&self) -> Identity {
        self.who
    }

    /// Returns whether the control plane waits for its operator.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// Returns whether the snapshot was the newest on this stream, and the stream is not quite new.
    pub fn is_current_since(&self, now: Nanos) -> bool {
        self.current && now.abs_diff(self.opened_at) > SETTLED
    }

    /// Returns whether a snapshot of this stream is in force.
    #[cfg(feature = "fault")]
    pub fn is_following(&self) -> bool {
        self.state == State::Following
    }

    /// Handles a tick.
    pub fn tick(&mut self, host: &impl Host, now: Nanos) -> Result<Health, End> {
        let is_loading =
            self.state == State::Loading || (self.state == State::Following && !self.current);
        // A clock that was set back counts as silence, too: it costs a reconnection.
        if now.abs_diff(self.heard_at) > if is_loading { LOADING_SILENCE } else { SILENCE } {
            return Err(End::Silent);
        }
        let monotonic = host.monotonic().map_err(|_| End::Host)?;
        self.check_limit(host, monotonic)?;
        self.say_alive(host, monotonic, now)?;
        self.writer.sweep(host, SWEEP_PAGES)?;
        if self.state != State::Following {
            return Ok(Health::Young);
        }
        if snapshot::is_damaged(host).unwrap_or(false) {
            return Err(End::Damaged);
        }
        if ledger::is_reporter(host, self.who.term, monotonic).map_err(WriteError::from)?
            && let Some(usage) = self
                .reporter
                .next(host, &self.epoch, now)
                .map_err(WriteError::from)?
        {
            self.send(host, from_node::Message::Usage(usage))?;
        }
        Ok(if now.abs_diff(self.opened_at) > PROBATION {
            Health::Proven
        } else {
            Health::Young
        })
    }

    fn say_alive(&mut self, host: &impl Host, monotonic: Nanos, now: Nanos) -> Result<(), End> {
        match self.contact.next(monotonic, now) {
            Some(alive) => self.send(host, from_node::Message::Alive(alive)),
            None => Ok(()),
        }
    }

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
            Some(to_node::Message::Elsewhere(elsewhere)) => self.elsewhere(host, elsewhere),
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

    fn waiting(&mut self, metrics: &Metrics, host: &impl Host) -> Result<Received, End> {
        if self.state != State::Greeted {
            return Err(End::Protocol("Waiting after Welcome"));
        }
        self.state = State::Waiting;
        metrics.waiting(host, true);
        Ok(Received::Waiting)
    }

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

    fn note_contact(&mut self, host: &impl Host, echo: Nanos) -> Result<(), End> {
        let monotonic = host.monotonic().map_err(|_| End::Host)?;
        if self.contact.note(host, monotonic, echo) {
            self.current = true;
            self.writer.wake(host)?;
        }
        Ok(())
    }

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
            self.held.release(host, &self.epoch)?;
            if !self.contact.echoes() {
                self.note_contact(host, 0)?;
            }
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

    /// Takes over the counts of other nodes' requests.
    fn elsewhere(&mut self, host: &impl Host, elsewhere: Elsewhere) -> Result<Received, End> {
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
            self.held.hold(elsewhere.keys);
        } else {
            elsewhere::count(host, &self.epoch, &elsewhere.keys)?;
        }
        Ok(Received::Other)
    }

    fn send(&self, host: &impl Host, message: from_node::Message) -> Result<(), End> {
        let message = FromNode {
            message: Some(message),
        }
        .encode_to_vec();
        host.send(self.stream, &message)
            .map_err(|_| End::Unreachable)
    }
}
