//! One stream to the control plane, as the worker that holds the lease sees it: messages and the time go in, the
//! snapshot in shared memory is changed, acknowledgements go out.

use crate::host::{Host, Level, Nanos, StreamId};
use crate::metrics::Metrics;
use crate::report::{Reporter, window_of};
use latchkey_policy::ledger;
use latchkey_policy::meter::Owner;
use latchkey_policy::record::{FORMAT, MIN_FORMAT};
use latchkey_policy::snapshot::{self, ApplyError, Batch, Epoch, Unavailable, Writer};
use latchkey_policy::table::WriteError;
use latchkey_protocol::{
    Ack, Elsewhere, FromNode, Heartbeat, Hello, KeyElsewhere, ToNode, Welcome, from_node, to_node,
};
use prost::Message as _;
use std::fmt;

/// A stream on which nothing arrives for this long is given up. The control plane sends a heartbeat every second.
const SILENCE: Nanos = 3_500_000_000;

/// No message of the control plane is longer; one that is gets not looked at.
const MAX_MESSAGE: usize = 4 << 20;

/// How often the other workers are told that the control plane was heard from.
const CONTACT_PAUSE: Nanos = 500_000_000;

/// A session that has lived this long was no accident.
const PROBATION: Nanos = 5_000_000_000;

/// Pages of the former snapshot that are freed at once: well under a millisecond.
const SWEEP_PAGES: usize = 256;

/// Keys whose counts are held until their history is in force. Of more than that some are told again only when they are
/// used elsewhere.
const MAX_HELD: usize = 200_000;

/// Why a stream came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host could not open the stream, or send on it.
    Unreachable,
    /// The control plane, or something before it, closed the stream.
    Closed {
        /// gRPC's status.
        status: u32,
    },
    /// Nothing was heard for too long.
    Silent,
    /// A message that means nothing here.
    Protocol(&'static str),
    /// Shared memory did not take a change.
    Memory(WriteError),
    /// A worker found a page that cannot be trusted.
    Damaged,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the control plane's cluster cannot be reached"),
            Self::Closed { status: 16 } => f.write_str("the control plane refused the node token"),
            Self::Closed { status } => write!(f, "the control plane closed the stream with gRPC status {status}"),
            Self::Silent => f.write_str("the control plane was not heard from for 3.5 seconds"),
            Self::Protocol(what) => write!(f, "the control plane sent {what}"),
            Self::Memory(error) => write!(f, "the snapshot cannot be written: {error}"),
            Self::Damaged => f.write_str("the snapshot in memory is damaged and has to be loaded anew"),
        }
    }
}

impl End {
    /// Whether what is in memory should not be built upon.
    pub fn needs_whole_snapshot(self) -> bool {
        matches!(self, Self::Protocol(_) | Self::Memory(WriteError::Damaged) | Self::Damaged)
    }
}

impl From<WriteError> for End {
    fn from(error: WriteError) -> Self {
        Self::Memory(error)
    }
}

/// A stream that is open.
#[derive(Debug)]
pub struct Session {
    stream: StreamId,
    writer: Writer,
    /// What Hello said this node has.
    offered: Option<(Epoch, u64)>,
    opened_at: Nanos,
    heard_at: Nanos,
    /// When the other workers were last told so.
    noted_at: Nanos,
    state: State,
    /// The sequence of the last batch.
    sequence: u64,
    /// The history that batches and counts are of, once Welcome has said so.
    epoch: Epoch,
    reporter: Reporter,
    /// What others admitted of a history that is not in force yet.
    held: Vec<KeyElsewhere>,
}

/// What a message says of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It is now, or still, the newest.
    Newest,
    /// Nothing, or not yet.
    Other,
}

/// What a session that lives is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It may still turn out to end at once.
    Young,
    /// It has lived long enough to begin the back-off anew.
    Proven,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Hello is sent.
    Greeted,
    /// Batches make up a whole snapshot.
    Loading,
    /// Batches are changes.
    Following,
}

/// Who opens the stream.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The lease's.
    pub term: u32,
    /// This process'.
    pub instance: u64,
}

impl Session {
    /// Takes the snapshot over and says Hello. With `afresh`, what is in memory is not built upon.
    pub fn open(host: &impl Host, stream: StreamId, who: Identity, now: Nanos, afresh: bool) -> Result<Self, End> {
        let writer = Writer::take_over(host, who.term)?;
        let offered = writer.position().filter(|_| !afresh);
        let (epoch, revision) = offered.unwrap_or_default();
        let hello = Hello {
            node_id: host.node_id(),
            instance: who.instance,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            epoch: if offered.is_some() { epoch.to_vec() } else { Vec::new() },
            revision,
            ..Hello::default()
        };
        let session = Self {
            stream,
            writer,
            offered,
            opened_at: now,
            heard_at: now,
            noted_at: 0,
            state: State::Greeted,
            sequence: 0,
            epoch: Epoch::default(),
            reporter: Reporter::default(),
            held: Vec::new(),
        };
        session.send(host, from_node::Message::Hello(hello))?;
        Ok(session)
    }

    /// The host's name for the stream.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Whether a snapshot of this stream is in force.
    #[cfg(feature = "fault")]
    pub fn is_following(&self) -> bool {
        self.state == State::Following
    }

    /// Time passes.
    pub fn tick(&mut self, host: &impl Host, now: Nanos) -> Result<Health, End> {
        // A clock that was set back counts as silence, too: it costs a reconnection.
        if now.abs_diff(self.heard_at) > SILENCE {
            return Err(End::Silent);
        }
        self.writer.sweep(host, SWEEP_PAGES)?;
        if self.state == State::Following && snapshot::take_damage_report(host).unwrap_or(false) {
            return Err(End::Damaged);
        }
        if self.state == State::Following
            && let Some(usage) = self.reporter.next(host, &self.epoch, now).map_err(WriteError::from)?
        {
            self.send(host, from_node::Message::Usage(usage))?;
        }
        let proven = self.state == State::Following && now.abs_diff(self.opened_at) > PROBATION;
        Ok(if proven { Health::Proven } else { Health::Young })
    }

    /// A message of `size` bytes came.
    pub fn receive(&mut self, host: &impl Host, metrics: &Metrics, size: usize) -> Result<Received, End> {
        if size > MAX_MESSAGE {
            return Err(End::Protocol("a message that is too long"));
        }
        let message = host.received().ok_or(End::Unreachable)?;
        let message = ToNode::decode(&*message).map_err(|_| End::Protocol("a message that is not of this protocol"))?;
        let received = match message.message {
            Some(to_node::Message::Welcome(welcome)) => self.welcome(host, metrics, &welcome).map(|()| Received::Other),
            Some(to_node::Message::Batch(batch)) => self.apply(host, metrics, &batch),
            Some(to_node::Message::Heartbeat(heartbeat)) => Ok(self.heartbeat(&heartbeat)),
            Some(to_node::Message::Elsewhere(elsewhere)) => self.elsewhere(host, elsewhere),
            Some(to_node::Message::UsageAck(ack)) => {
                self.reporter.acknowledged(host, ack.sequence).map_err(WriteError::from)?;
                Ok(Received::Other)
            }
            // What a newer control plane sends besides is not for this version.
            Some(to_node::Message::Waiting(_)) | None => Ok(Received::Other),
        };
        // Behind the work, which may take a while: only the other side's silence counts.
        let now = host.now().map_err(|_| End::Unreachable)?;
        self.heard_at = now;
        if received == Ok(Received::Newest) && now.abs_diff(self.noted_at) >= CONTACT_PAUSE {
            self.noted_at = now;
            // If another was faster, it has heard from the control plane as well.
            let _ = snapshot::note_contact(host, now);
        }
        received
    }

    fn heartbeat(&self, heartbeat: &Heartbeat) -> Received {
        let newest = self.writer.position().is_some_and(|(_, revision)| revision == heartbeat.revision);
        if newest && self.state == State::Following { Received::Newest } else { Received::Other }
    }

    fn welcome(&mut self, host: &impl Host, metrics: &Metrics, welcome: &Welcome) -> Result<(), End> {
        if self.state != State::Greeted {
            return Err(End::Protocol("a second welcome"));
        }
        if !(MIN_FORMAT..=FORMAT).contains(&welcome.format) {
            return Err(End::Protocol("a record format that this filter cannot read"));
        }
        let epoch = Epoch::try_from(&*welcome.epoch).map_err(|_| End::Protocol("an epoch that is not 16 bytes"))?;
        if welcome.resume {
            if self.offered.is_none_or(|(offered, _)| offered != epoch) {
                return Err(End::Protocol("changes to a snapshot that is not here"));
            }
            self.writer.resume(host)?;
            self.state = State::Following;
        } else {
            self.writer.begin(epoch, welcome.keys);
            self.state = State::Loading;
        }
        self.epoch = epoch;
        metrics.stream_connected(host, true);
        host.log(
            Level::Info,
            if welcome.resume { "following the control plane by changes" } else { "loading a snapshot" },
        );
        Ok(())
    }

    fn apply(
        &mut self,
        host: &impl Host,
        metrics: &Metrics,
        batch: &latchkey_protocol::Batch,
    ) -> Result<Received, End> {
        if self.state == State::Greeted {
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
        };
        let published = self.writer.apply(host, &changes).map_err(|error| match error {
            ApplyError::Invalid => End::Protocol("a damaged batch"),
            ApplyError::Write(error) => End::Memory(error),
        })?;
        self.sequence = batch.sequence;
        if let Some(revision) = published {
            if self.state == State::Loading {
                self.state = State::Following;
                metrics.snapshot_loaded(host);
                host.log(Level::Info, &format!("the snapshot at revision {revision} is in force"));
            }
            metrics.published(host, revision, self.writer.keys());
            count_elsewhere(host, &self.epoch, &std::mem::take(&mut self.held))?;
        }
        let revision = self.writer.position().map_or(0, |(_, revision)| revision);
        // While a snapshot of another history is being loaded, what is in force says nothing about this one.
        let revision = if self.state == State::Loading { 0 } else { revision };
        self.send(host, from_node::Message::Ack(Ack { sequence: self.sequence, revision }))?;
        Ok(if published.is_some() { Received::Newest } else { Received::Other })
    }

    /// Takes over what other nodes have admitted.
    fn elsewhere(&mut self, host: &impl Host, elsewhere: Elsewhere) -> Result<Received, End> {
        if self.state == State::Greeted {
            return Err(End::Protocol("counts before the welcome"));
        }
        // While requests are still decided by another history, its counters would take the place of these.
        if self.writer.position().is_some_and(|(published, _)| published != self.epoch) {
            let room = MAX_HELD.saturating_sub(self.held.len());
            self.held.extend(elsewhere.keys.into_iter().take(room));
        } else {
            count_elsewhere(host, &self.epoch, &elsewhere.keys)?;
        }
        Ok(Received::Other)
    }

    fn send(&self, host: &impl Host, message: from_node::Message) -> Result<(), End> {
        let message = FromNode { message: Some(message) }.encode_to_vec();
        host.send(self.stream, &message).map_err(|_| End::Unreachable)
    }
}

fn count_elsewhere(host: &impl Host, epoch: &Epoch, keys: &[KeyElsewhere]) -> Result<(), End> {
    if keys.is_empty() {
        return Ok(());
    }
    let now = host.unix_seconds().map_err(|_| End::Unreachable)?;
    for key in keys {
        let told = ledger::change(host, key.slot, Owner::of(epoch, key.key), |meter| {
            for count in &key.windows {
                if let Some(window) = window_of(count) {
                    meter.elsewhere(window, count.number, count.count, now);
                }
            }
        });
        match told {
            // A meter that could not be trusted has been begun anew, and is told the next time.
            Ok(_) | Err(Unavailable::Counters) => {}
            Err(_) => return Err(End::Memory(WriteError::Host)),
        }
    }
    Ok(())
}
