//! One worker of Envoy: its configuration, its ticks, and the stream while it holds the lease.

use crate::config::{Config, TokenSource, is_node_token};
use crate::host::{Host, Level, NANOS_PER_SECOND, Nanos, StreamId};
use crate::lease::{LeaseHandle, LeaseState, Role};
use crate::metrics::Metrics;
use crate::shared::{Ready, Shared};
use crate::sync::{End, Health, Identity, Received, Session};
use latchkey_policy::line_break::without_line_break;
use latchkey_policy::snapshot;
use std::rc::Rc;

/// The interval at which a worker checks the lease.
pub const TICK_MILLIS: u32 = 100;

const WAITING: &str = "the control plane does not know this snapshot's epoch and waits for its \
operator (latchkey node accept-epoch); this snapshot stays in force until its staleness limit";

/// A worker's root context.
#[derive(Default)]
pub struct Worker {
    shared: Rc<Shared>,
    lease: LeaseHandle,
    session: Option<Session>,
    /// Streams that are to be abandoned at the next tick. Not at once: Envoy may be in the middle
    /// of delivering more messages of the same stream, and would crash if it ended then.
    abandoned: Vec<StreamId>,
    /// True if the snapshot in memory proved to be unusable, so that a whole one has to be loaded.
    afresh: bool,
    last_end: Option<End>,
    /// True if the log already has that the control plane waits for its operator.
    waiting: bool,
    /// The time at which this worker last recorded its staleness limit, by the monotonic clock.
    limit_said_at: Option<Nanos>,
}

impl Worker {
    /// Returns the state that this worker's requests need.
    pub fn shared(&self) -> Rc<Shared> {
        Rc::clone(&self.shared)
    }

    /// Returns whether this worker has the stream, and has a revision from it.
    #[cfg(feature = "fault")]
    pub fn holds_stream(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_following)
    }

    /// Reads the configuration. If it is invalid, logs all of its errors and returns false.
    pub fn configure(&mut self, host: &impl Host, configuration: &[u8]) -> bool {
        match Config::parse(configuration) {
            Ok(config) => {
                host.use_instance(&config.instance);
                let (metrics, token) = (Metrics::define(host), node_token(host, &config));
                self.lease.line_up(host);
                // A VM is configured once. If it were configured twice, requests would keep the
                // first configuration.
                self.shared.configure(Ready {
                    config,
                    metrics,
                    token,
                })
            }
            Err(errors) => {
                for error in errors {
                    host.log(Level::Error, &format!("invalid configuration: {error}"));
                }
                false
            }
        }
    }

    /// Handles a tick. `serves` is true if this thread has served a request so far.
    pub fn tick(&mut self, host: &impl Host, serves: bool) {
        for stream in self.abandoned.drain(..) {
            host.abandon_stream(stream);
        }

        self.shared.meters.flush(host);
        if let Ok(mut reader) = self.shared.reader() {
            reader.look_again();
        }

        // The lease cannot be checked without the time; requests are refused until there is one.
        let Ok(now) = host.now() else { return };
        self.say_limit(host);

        match self.lease.tick(host, now, self.role(serves)) {
            Ok(LeaseState::Acquired { term, instance }) => {
                self.open(host, self.identity(term, instance), now);
            }
            Ok(state @ (LeaseState::Held | LeaseState::Wanted)) => self.hold(host, now, state),
            Ok(LeaseState::Lost) => {
                host.log(Level::Warn, "another worker has taken over the stream");
                self.abandoned
                    .extend(self.session.take().map(|session| session.stream()));
            }
            Ok(LeaseState::Free) => {}
            Err(error) => host.log(Level::Error, &format!("the stream's lease: {error}")),
        }
    }

    /// Handles a tick of the holder of the lease.
    fn hold(&mut self, host: &impl Host, now: Nanos, state: LeaseState) {
        let is_current = self
            .session
            .as_ref()
            .is_some_and(|session| session.is_current_since(now));
        match self.session.as_mut().map(|session| session.tick(host, now)) {
            Some(Ok(_)) if state == LeaseState::Wanted && is_current => {
                host.log(
                    Level::Info,
                    "leaving the stream to the worker that ends last",
                );
                self.abandoned
                    .extend(self.session.take().map(|session| session.stream()));
                self.lease.hand_over(host, now);
            }
            Some(Ok(Health::Proven)) => self.lease.succeed(host, now),
            Some(Err(End::OtherLimit)) => self.reopen(host, now),
            Some(Err(end)) => self.end(host, end, now),
            Some(Ok(Health::Young)) | None => {}
        }
    }

    /// Ends the filter in order: counts that only this worker has are left to others, or sent to
    /// the control plane.
    pub fn finish(&mut self, host: &impl Host) {
        self.shared.meters.settle(host);
        let left = self.lease.leave(host, host.now().unwrap_or_default());
        if let Some(session) = self.session.take() {
            // The host resets the stream after it has sent these messages.
            session.finish(host, left.is_some_and(|left| left.is_last));
        }
    }

    fn role(&self, serves: bool) -> Role {
        let has_token = self
            .shared
            .ready()
            .is_some_and(|ready| ready.token.is_some());
        match (has_token, serves) {
            (false, _) => Role::Unfit,
            (true, false) => Role::Idle,
            (true, true) => Role::Serving,
        }
    }

    fn identity(&self, term: u32, instance: u64) -> Identity {
        Identity {
            term,
            instance,
            staleness: self.staleness(),
        }
    }

    /// Returns the staleness limit of this configuration, in seconds; 0 is none.
    fn staleness(&self) -> u64 {
        let limit = self
            .shared
            .ready()
            .and_then(|ready| ready.config.max_staleness);
        limit.map_or(0, |limit| limit / NANOS_PER_SECOND)
    }

    /// Records the staleness limit of this configuration in shared memory, now and then.
    fn say_limit(&mut self, host: &impl Host) {
        let Ok(now) = host.monotonic() else { return };
        if self
            .limit_said_at
            .is_some_and(|said| now.saturating_sub(said) < NANOS_PER_SECOND)
        {
            return;
        }
        // A limit that could not be recorded is recorded at the next tick.
        if snapshot::renew_limit(host, self.staleness(), now).is_ok() {
            self.limit_said_at = Some(now);
        }
    }

    /// Handles a message of `size` bytes on a stream.
    pub fn on_message(&mut self, host: &impl Host, stream: StreamId, size: usize) {
        let (Some(session), Some(ready)) = (&mut self.session, self.shared.ready()) else {
            return;
        };
        if session.stream() != stream {
            return;
        }

        match session.receive(host, &ready.metrics, size) {
            Ok(Received::Other) => {}
            Ok(Received::Welcome) => self.waiting = false,
            Ok(Received::Waiting) => {
                if !std::mem::replace(&mut self.waiting, true) {
                    host.log(Level::Warn, WAITING);
                }
            }
            Ok(Received::Newest) => {
                self.last_end = None;
                self.afresh = false;
            }
            Err(end) => self.end(host, end, host.now().unwrap_or_default()),
        }
    }

    /// Handles a stream that the other side has closed.
    pub fn on_close(&mut self, host: &impl Host, stream: StreamId, status: u32) {
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.stream() == stream)
        {
            self.end(host, End::Closed { status }, host.now().unwrap_or_default());
        }
        self.abandoned.retain(|abandoned| *abandoned != stream);
        host.abandon_stream(stream);
    }

    fn open(&mut self, host: &impl Host, who: Identity, now: Nanos) {
        let Some(Ready {
            config,
            metrics,
            token: Some(token),
        }) = self.shared.ready()
        else {
            self.lease.release(host, now);
            return;
        };
        metrics.stream_opened(host);
        let opened = host
            .open_stream(&config.control_plane.cluster, token)
            .map_err(|_| End::Unreachable)
            .and_then(|stream| {
                Session::open(host, stream, who, now, self.afresh)
                    .inspect_err(|_| self.abandoned.push(stream))
            });

        match opened {
            Ok(session) => self.session = Some(session),
            Err(end) => self.end(host, end, now),
        }
    }

    /// Opens another stream with a new Hello.
    fn reopen(&mut self, host: &impl Host, now: Nanos) {
        let Some(session) = self.session.take() else {
            return;
        };
        let who = session.identity();
        self.abandoned.push(session.stream());

        self.open(
            host,
            Identity {
                staleness: self.staleness(),
                ..who
            },
            now,
        );
    }

    fn end(&mut self, host: &impl Host, end: End, now: Nanos) {
        // Log one line when a problem begins, not one for every attempt.
        if self.last_end != Some(end) {
            host.log(Level::Warn, &format!("{end}; retrying"));
        }

        self.last_end = Some(end);
        self.afresh |= end.needs_whole_snapshot();
        let ended = self.session.take();
        let was_waiting = ended.as_ref().is_some_and(Session::is_waiting);
        self.abandoned.extend(ended.map(|session| session.stream()));
        let was_ours = self.lease.release(host, now);

        if was_ours && let Some(ready) = self.shared.ready() {
            ready.metrics.stream_connected(host, false);
            // A control plane that waits for its operator closes the stream now and then: only the
            // next attempt shows whether it still does.
            if !was_waiting {
                ready.metrics.waiting(host, false);
            }
        }
    }
}

/// Returns the node token. If it is missing or invalid, that is logged, and requests are refused
/// until there is a snapshot.
fn node_token(host: &impl Host, config: &Config) -> Option<String> {
    match &config.control_plane.token {
        TokenSource::Given(token) => Some(token.clone()),
        TokenSource::Environment(name) => {
            let token = host
                .environment(name)
                .map(|value| without_line_break(&value).to_owned());
            let token = token.filter(|token| is_node_token(token));
            if token.is_none() {
                host.log(
                    Level::Error,
                    &format!(
                        "the environment variable {name} contains no node token: no stream is \
                         opened"
                    ),
                );
            }
            token
        }
    }
}

#[cfg(test)]
mod tests;
