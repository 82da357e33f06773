//! One worker of Envoy: what its requests share, its ticks, and the stream while it holds the lease.

use crate::config::Config;
use crate::host::{Host, Level, Nanos, StreamId};
use crate::lease::{Candidate, Standing};
use crate::meters::Meters;
use crate::metrics::Metrics;
use crate::sync::{End, Health, Identity, Received, Session};
use latchkey_policy::snapshot::{self, Reader, Unavailable};
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::rc::Rc;

/// How often a worker looks after the lease.
pub const TICK_MILLIS: u32 = 100;

/// Least time between two log lines about the same trouble.
const COMPLAINT_PAUSE: Nanos = 10_000_000_000;

/// What the requests of one worker share.
#[derive(Default)]
pub struct Shared {
    ready: OnceCell<Ready>,
    reader: RefCell<Reader>,
    /// What requests are counted by.
    pub meters: Meters,
    complained_at: Cell<Nanos>,
    /// When the control plane was heard from, as far as this worker has looked.
    contact: Cell<Option<Nanos>>,
}

/// What there is once the configuration has been read.
pub struct Ready {
    /// The plugin's configuration.
    pub config: Config,
    /// Defined metrics.
    pub metrics: Metrics,
}

impl Shared {
    /// Nothing, before a valid configuration.
    pub fn ready(&self) -> Option<&Ready> {
        self.ready.get()
    }

    /// The worker's view of the snapshot.
    pub fn reader(&self) -> Result<RefMut<'_, Reader>, Unavailable> {
        self.reader.try_borrow_mut().map_err(|_| Unavailable::Host)
    }

    /// Fails when the control plane was not heard from for longer than `limit`.
    pub fn check_staleness(&self, host: &impl Host, limit: Nanos) -> Result<(), Unavailable> {
        let fresh = |contact: Nanos, now: Nanos| now.abs_diff(contact) <= limit;
        let now = host.now().map_err(|_| Unavailable::Host)?;
        if self.contact.get().is_some_and(|contact| fresh(contact, now)) {
            return Ok(());
        }
        // Only when what is known is too old does it pay to look again.
        self.contact.set(snapshot::last_contact(host)?);
        if self.contact.get().is_some_and(|contact| fresh(contact, now)) { Ok(()) } else { Err(Unavailable::Stale) }
    }

    /// Says that requests cannot be decided, but not for every one of them; of damage, also to whoever can mend it.
    pub fn complain(&self, host: &impl Host, unavailable: Unavailable) {
        let now = host.now().unwrap_or_default();
        if now.abs_diff(self.complained_at.get()) <= COMPLAINT_PAUSE {
            return;
        }
        self.complained_at.set(now);
        host.log(Level::Warn, &format!("refusing requests with not_ready: {unavailable}"));
        if unavailable == Unavailable::Damaged {
            // If another worker was faster, it said the same.
            let _ = snapshot::report_damage(host);
        }
    }
}

/// A worker's root context.
#[derive(Default)]
pub struct Worker {
    shared: Rc<Shared>,
    candidate: Candidate,
    session: Option<Session>,
    /// Streams that are to be let go of at the next tick. Not at once: Envoy may be in the middle of delivering more
    /// messages of the very stream, and does not survive its end there.
    abandoned: Vec<StreamId>,
    /// What is in memory proved to be unusable to build upon.
    afresh: bool,
    last_end: Option<End>,
}

impl Worker {
    /// What this worker's requests need.
    pub fn shared(&self) -> Rc<Shared> {
        Rc::clone(&self.shared)
    }

    /// Whether this worker has the stream, and has a revision from it.
    #[cfg(feature = "fault")]
    pub fn holds_stream(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_following)
    }

    /// Reads the configuration. False, and everything that is wrong in the log, when it is invalid.
    pub fn configure(&mut self, host: &impl Host, configuration: &[u8]) -> bool {
        match Config::parse(configuration) {
            Ok(config) => {
                let metrics = Metrics::define(host);
                // A VM is configured once; were it twice, requests stay with the first.
                self.shared.ready.set(Ready { config, metrics }).is_ok()
            }
            Err(errors) => {
                for error in errors {
                    host.log(Level::Error, &format!("invalid configuration: {error}"));
                }
                false
            }
        }
    }

    /// Time passes.
    pub fn tick(&mut self, host: &impl Host) {
        for stream in self.abandoned.drain(..) {
            host.abandon_stream(stream);
        }
        self.shared.meters.flush(host);
        if let Ok(mut reader) = self.shared.reader() {
            reader.look_again();
        }
        // A lease cannot be judged without the time; requests are refused meanwhile.
        let Ok(now) = host.now() else { return };
        match self.candidate.tick(host, now) {
            Ok(Standing::Elected { term, instance }) => self.open(host, Identity { term, instance }, now),
            Ok(Standing::Holding) => match self.session.as_mut().map(|session| session.tick(host, now)) {
                Some(Ok(Health::Proven)) => self.candidate.succeed(host, now),
                Some(Err(end)) => self.end(host, end, now),
                Some(Ok(Health::Young)) | None => {}
            },
            Ok(Standing::Deposed) => {
                host.log(Level::Warn, "another worker has taken the stream over");
                self.abandoned.extend(self.session.take().map(|session| session.stream()));
            }
            Ok(Standing::Idle) => {}
            Err(error) => host.log(Level::Error, &format!("the stream's lease: {error}")),
        }
    }

    /// A message of so many bytes came on a stream.
    pub fn on_message(&mut self, host: &impl Host, stream: StreamId, size: usize) {
        let (Some(session), Some(ready)) = (&mut self.session, self.shared.ready.get()) else { return };
        if session.stream() != stream {
            return;
        }
        match session.receive(host, &ready.metrics, size) {
            Ok(Received::Other) => {}
            Ok(Received::Newest) => {
                self.last_end = None;
                self.afresh = false;
            }
            Err(end) => self.end(host, end, host.now().unwrap_or_default()),
        }
    }

    /// A stream was closed from the other side.
    pub fn on_close(&mut self, host: &impl Host, stream: StreamId, status: u32) {
        if self.session.as_ref().is_some_and(|session| session.stream() == stream) {
            self.end(host, End::Closed { status }, host.now().unwrap_or_default());
        }
        self.abandoned.retain(|abandoned| *abandoned != stream);
        host.abandon_stream(stream);
    }

    fn open(&mut self, host: &impl Host, who: Identity, now: Nanos) {
        let Some(Ready { config, metrics }) = self.shared.ready.get() else {
            self.candidate.release(host, now);
            return;
        };
        metrics.stream_opened(host);
        let opened = host
            .open_stream(&config.control_plane.cluster, &config.control_plane.token)
            .map_err(|_| End::Unreachable)
            .and_then(|stream| {
                Session::open(host, stream, who, now, self.afresh).inspect_err(|_| self.abandoned.push(stream))
            });
        match opened {
            Ok(session) => self.session = Some(session),
            Err(end) => self.end(host, end, now),
        }
    }

    fn end(&mut self, host: &impl Host, end: End, now: Nanos) {
        // One line when a trouble begins, not one for every attempt.
        if self.last_end != Some(end) {
            host.log(Level::Warn, &format!("{end}; trying again"));
        }
        self.last_end = Some(end);
        self.afresh |= end.needs_whole_snapshot();
        self.abandoned.extend(self.session.take().map(|session| session.stream()));
        let was_ours = self.candidate.release(host, now);
        if was_ours && let Some(ready) = self.shared.ready.get() {
            ready.metrics.stream_connected(host, false);
        }
    }
}

#[cfg(test)]
mod tests;
