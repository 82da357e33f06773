//! One stream to the control plane, as seen by the worker that holds the lease. Input is messages
//! and the time; output is changes of the snapshot in shared memory and acknowledgements.

mod contact;
mod end;
mod hello;
mod limit;
mod receive;
mod remote_usage;

use crate::host::{Host, Nanos, StreamId};
use crate::report::Reporter;
use contact::Contact;
pub use end::End;
use latchkey_policy::ledger;
use latchkey_policy::snapshot::{self, Epoch, Image, Writer};
use latchkey_policy::table::WriteError;
use latchkey_protocol::{FromNode, from_node};
use limit::is_longer;
use prost::Message as _;
pub use receive::Received;
use remote_usage::PendingUsage;

/// The time without any message after which a stream is given up. The control plane sends a
/// heartbeat every second.
const SILENCE: Nanos = 3_500_000_000;

/// The same time while a snapshot is being loaded: on a slow link a heartbeat waits for half a
/// megabyte of batches before it.
const LOADING_SILENCE: Nanos = 30_000_000_000;

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
    pending: PendingUsage,
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
            pending: PendingUsage::default(),
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

    /// Sends that the node is alive, if that is due.
    fn say_alive(&mut self, host: &impl Host, monotonic: Nanos, now: Nanos) -> Result<(), End> {
        match self.contact.next(monotonic, now) {
            Some(alive) => self.send(host, from_node::Message::Alive(alive)),
            None => Ok(()),
        }
    }

    /// Sends a message to the control plane.
    fn send(&self, host: &impl Host, message: from_node::Message) -> Result<(), End> {
        let message = FromNode {
            message: Some(message),
        }
        .encode_to_vec();
        host.send(self.stream, &message)
            .map_err(|_| End::Unreachable)
    }
}
