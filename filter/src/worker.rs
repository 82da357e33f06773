//! One worker of Envoy: what its requests share, its ticks, and the stream while it holds the lease.

use crate::config::Config;
use crate::host::{Host, Level, Nanos, StreamId};
use crate::lease::{Candidate, Standing};
use crate::metrics::Metrics;
use crate::sync::{End, Health, Identity, Session};
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
        let fresh = |contact: Nanos, now: Nanos| now.saturating_sub(contact) <= limit;
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
            Ok(false) => {}
            Ok(true) => {
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
mod tests {
    use super::*;
    use crate::fake::FakeHost;
    use latchkey_policy::address::AddressLists;
    use latchkey_policy::key::{Environment, KeyDigest};
    use latchkey_policy::record::{KeyRecord, PolicyRecord};
    use latchkey_protocol::{Ack, Batch, Heartbeat, Hello, ToNode, Welcome, from_node, to_node};
    use prost::Message as _;

    const CONFIGURATION: &[u8] = br#"{"control_plane":{"cluster":"latchkey","token":"node-token"}}"#;

    fn worker(host: &FakeHost) -> Worker {
        let mut worker = Worker::default();
        assert!(worker.configure(host, CONFIGURATION));
        worker
    }

    fn host() -> FakeHost {
        let host = FakeHost::default();
        host.advance_millis(1_000_000);
        host
    }

    fn hello(host: &FakeHost) -> Hello {
        match host.sent.take().as_slice() {
            [from_node::Message::Hello(hello)] => hello.clone(),
            other => panic!("expected a hello, got {other:?}"),
        }
    }

    fn acks(host: &FakeHost) -> Vec<(u64, u64)> {
        let ack = |message| match message {
            from_node::Message::Ack(Ack { sequence, revision }) => (sequence, revision),
            from_node::Message::Hello(hello) => panic!("{hello:?}"),
        };
        host.sent.take().into_iter().map(ack).collect()
    }

    fn stream(host: &FakeHost) -> StreamId {
        *host.streams.borrow().last().unwrap()
    }

    fn deliver(worker: &mut Worker, host: &FakeHost, message: to_node::Message) {
        deliver_bytes(worker, host, ToNode { message: Some(message) }.encode_to_vec());
    }

    fn deliver_bytes(worker: &mut Worker, host: &FakeHost, message: Vec<u8>) {
        let size = message.len();
        host.incoming.replace(message);
        worker.on_message(host, stream(host), size);
    }

    fn welcome(resume: bool) -> to_node::Message {
        to_node::Message::Welcome(Welcome { epoch: vec![9; 16], format: 1, resume, heartbeat_millis: 1000, keys: 1 })
    }

    fn batch(sequence: u64, revision: u64, name: &str) -> Batch {
        let (mut policies, mut keys) = (Vec::new(), Vec::new());
        let policy = PolicyRecord {
            id: 1,
            account: "acc".into(),
            user: "usr".into(),
            tier: "basic".into(),
            environment: Environment::Live,
            owner_disabled: false,
            account_disabled: false,
            addresses: AddressLists::default(),
        };
        policy.encode(&mut policies).unwrap();
        let key = KeyRecord {
            digest: KeyDigest::of(name.as_bytes()),
            policy: 1,
            expires_at: None,
            disabled: false,
            id: "abc123def456",
            name,
        };
        key.encode(&mut keys).unwrap();
        Batch { sequence, policies: policies.into(), keys: keys.into(), removed_keys: Vec::new().into(), revision }
    }

    fn knows(worker: &Worker, host: &FakeHost, name: &str) -> bool {
        let shared = worker.shared();
        let mut reader = shared.reader().unwrap();
        reader.view(host).unwrap().find(host, &KeyDigest::of(name.as_bytes())).unwrap().is_some()
    }

    /// A worker that holds the stream and has a snapshot at revision 5 with the key `one`.
    fn following() -> (FakeHost, Worker) {
        let host = host();
        let mut worker = worker(&host);
        worker.tick(&host);
        let hello = hello(&host);
        assert_eq!((hello.epoch.len(), hello.revision, hello.format), (0, 0, 1));
        deliver(&mut worker, &host, welcome(false));
        deliver(&mut worker, &host, to_node::Message::Batch(batch(1, 5, "one")));
        assert_eq!(acks(&host), [(1, 5)]);
        assert!(knows(&worker, &host, "one"));
        (host, worker)
    }

    #[test]
    fn an_invalid_configuration_is_refused_with_every_error_in_the_log() {
        let host = host();
        assert!(!Worker::default().configure(&host, br#"{"control_plane":{},"x":1}"#));
        assert_eq!(
            *host.log.borrow(),
            [
                "invalid configuration: control_plane.cluster: is required",
                "invalid configuration: control_plane.token: is required",
                "invalid configuration: x: is unknown"
            ]
        );
    }

    #[test]
    fn a_whole_snapshot_is_acknowledged_batch_by_batch_and_in_force_with_the_last() {
        let host = host();
        let mut worker = worker(&host);
        worker.tick(&host);
        hello(&host);
        deliver(&mut worker, &host, welcome(false));
        deliver(&mut worker, &host, to_node::Message::Batch(batch(1, 0, "one")));
        assert_eq!(acks(&host), [(1, 0)]);
        assert!(worker.shared().reader().unwrap().view(&host).is_err());
        deliver(&mut worker, &host, to_node::Message::Batch(batch(2, 5, "two")));
        assert_eq!(acks(&host), [(2, 5)]);
        assert!(knows(&worker, &host, "one") && knows(&worker, &host, "two"));
        assert_eq!(host.metric("latchkey_revision"), 5);
        assert_eq!(host.metric("latchkey_keys"), 2);
        assert_eq!(host.metric("latchkey_snapshots_loaded"), 1);
    }

    #[test]
    fn a_change_is_in_force_for_every_worker_before_it_is_acknowledged() {
        let (host, mut worker) = following();
        let sibling = host.sibling();
        let other = self::worker(&sibling);
        assert!(knows(&other, &sibling, "one"));
        let removal = Batch {
            sequence: 2,
            removed_keys: KeyDigest::of(b"one").0.to_vec().into(),
            revision: 6,
            ..Batch::default()
        };
        deliver(&mut worker, &host, to_node::Message::Batch(removal));
        assert_eq!(acks(&host), [(2, 6)]);
        assert!(!knows(&other, &sibling, "one"));
    }

    #[test]
    fn after_a_lost_stream_the_next_follows_by_changes() {
        let (host, mut worker) = following();
        let lost = stream(&host);
        worker.on_close(&host, lost, 14);
        assert!(host.streams.borrow().is_empty());
        assert_eq!(host.metric("latchkey_stream_connected"), 0);
        host.advance_millis(100);
        worker.tick(&host);
        let hello = hello(&host);
        assert_eq!((hello.epoch, hello.revision), (vec![9; 16], 5));
        deliver(&mut worker, &host, welcome(true));
        deliver(&mut worker, &host, to_node::Message::Batch(batch(1, 6, "two")));
        assert_eq!(acks(&host), [(1, 6)]);
        assert!(knows(&worker, &host, "one") && knows(&worker, &host, "two"));
        assert_eq!(host.metric("latchkey_snapshots_loaded"), 1);
    }

    #[test]
    fn another_worker_takes_over_from_one_that_died() {
        let (host, dead) = following();
        let sibling = host.sibling();
        let mut next = worker(&sibling);
        next.tick(&sibling);
        assert!(sibling.streams.borrow().is_empty());
        host.advance_millis(3_100);
        next.tick(&sibling);
        assert_eq!(hello(&sibling).revision, 5);
        drop(dead);
    }

    #[test]
    fn a_worker_that_slept_finds_that_it_was_replaced_and_lets_go() {
        let (host, mut sleeper) = following();
        let sibling = host.sibling();
        let mut next = worker(&sibling);
        host.advance_millis(3_100);
        next.tick(&sibling);
        deliver(&mut next, &sibling, welcome(true));
        deliver(&mut next, &sibling, to_node::Message::Batch(batch(1, 6, "two")));
        // Its own stream delivers something that it has not seen yet.
        deliver(&mut sleeper, &host, to_node::Message::Batch(batch(2, 6, "stale")));
        assert_eq!(acks(&host), []);
        sleeper.tick(&host);
        assert!(host.streams.borrow().is_empty());
        assert!(!knows(&next, &sibling, "stale"));
        assert_eq!(sibling.streams.borrow().len(), 1);
        next.tick(&sibling);
        assert_eq!(sibling.streams.borrow().len(), 1);
    }

    #[test]
    fn all_workers_learn_when_the_control_plane_was_heard_from() {
        let (host, mut worker) = following();
        let other = self::worker(&host.sibling()).shared();
        let minute = 60_000_000_000;
        assert_eq!(other.check_staleness(&host, minute), Ok(()));
        host.advance_millis(60_001);
        assert_eq!(other.check_staleness(&host, minute), Err(Unavailable::Stale));
        deliver(&mut worker, &host, to_node::Message::Heartbeat(Heartbeat { revision: 5 }));
        assert_eq!(other.check_staleness(&host, minute), Ok(()));
    }

    #[test]
    fn silence_ends_the_stream_and_a_heartbeat_keeps_it() {
        let (host, mut worker) = following();
        for _ in 0..10 {
            host.advance_millis(1_000);
            deliver(&mut worker, &host, to_node::Message::Heartbeat(Heartbeat { revision: 5 }));
            worker.tick(&host);
            assert_eq!(host.streams.borrow().len(), 1);
        }
        let silent = stream(&host);
        for _ in 0..5 {
            host.advance_millis(1_000);
            worker.tick(&host);
        }
        assert!(!host.streams.borrow().contains(&silent));
        assert!(knows(&worker, &host, "one"));
    }

    #[test]
    fn whatever_makes_no_sense_ends_the_stream_changes_nothing_and_asks_for_a_whole_snapshot() {
        let nonsense: [fn() -> Vec<u8>; 7] = [
            || vec![0xff; 30],
            || message(welcome(true)),
            || message(to_node::Message::Batch(batch(3, 6, "two"))),
            || message(to_node::Message::Batch(batch(1, 6, "two"))),
            || message(to_node::Message::Batch(Batch { keys: vec![1, 2, 3].into(), ..batch(2, 6, "two") })),
            || message(to_node::Message::Batch(Batch { removed_keys: vec![0; 33].into(), ..batch(2, 6, "two") })),
            || {
                // Nothing is wrong with it but its length.
                let mut long = message(to_node::Message::Batch(batch(2, 6, "two")));
                // A field that this version does not know, with 4 MiB in it.
                long.extend([0x7a, 0x80, 0x80, 0x80, 0x02]);
                long.resize(long.len() + (4 << 20), 0);
                long
            },
        ];
        for nonsense in nonsense {
            let (host, mut worker) = following();
            deliver_bytes(&mut worker, &host, nonsense());
            assert_eq!(host.streams.borrow().len(), 1, "let go of while Envoy delivers");
            assert_eq!(acks(&host), []);
            assert!(knows(&worker, &host, "one") && !knows(&worker, &host, "two"));
            host.advance_millis(100);
            worker.tick(&host);
            assert_eq!(host.streams.borrow().len(), 1);
            assert_eq!(hello(&host).revision, 0);
        }
    }

    fn message(message: to_node::Message) -> Vec<u8> {
        ToNode { message: Some(message) }.encode_to_vec()
    }

    #[test]
    fn changes_to_a_snapshot_that_is_not_here_are_refused() {
        for welcome in [
            welcome(true),
            to_node::Message::Welcome(Welcome { epoch: vec![9; 15], format: 1, ..Welcome::default() }),
            to_node::Message::Welcome(Welcome { epoch: vec![9; 16], format: 2, ..Welcome::default() }),
            to_node::Message::Batch(batch(1, 1, "one")),
        ] {
            let host = host();
            let mut worker = worker(&host);
            worker.tick(&host);
            hello(&host);
            deliver(&mut worker, &host, welcome);
            worker.tick(&host);
            assert!(host.streams.borrow().is_empty());
            assert!(worker.shared().reader().unwrap().view(&host).is_err());
        }
    }

    #[test]
    fn an_unreachable_control_plane_is_tried_again_and_logged_once() {
        let host = host();
        let mut worker = worker(&host);
        host.unreachable.set(true);
        for _ in 0..100 {
            worker.tick(&host);
            host.advance_millis(100);
        }
        assert!((15..30).contains(&host.metric("latchkey_stream_opened")), "{}", host.metric("latchkey_stream_opened"));
        assert_eq!(host.log.borrow().len(), 1, "{:?}", host.log.borrow());
        host.unreachable.set(false);
        host.advance_millis(600);
        worker.tick(&host);
        assert_eq!(host.streams.borrow().len(), 1);
    }

    #[test]
    fn damage_that_a_worker_finds_is_mended_by_a_whole_snapshot() {
        let (host, mut worker) = following();
        let sibling = host.sibling();
        let other = self::worker(&sibling);
        host.cells.tamper(|name, bytes| {
            if name.starts_with('a') || name.starts_with('b') {
                bytes.truncate(bytes.len() / 2);
            }
        });
        let shared = other.shared();
        let digest = KeyDigest::of(b"one");
        let found = shared.reader().unwrap().view(&sibling).unwrap().find(&sibling, &digest);
        shared.complain(&sibling, found.unwrap_err());
        worker.tick(&host);
        host.advance_millis(100);
        worker.tick(&host);
        assert_eq!(hello(&host).revision, 0);
        deliver(&mut worker, &host, welcome(false));
        deliver(&mut worker, &host, to_node::Message::Batch(batch(1, 6, "one")));
        assert!(knows(&other, &sibling, "one"));
        // Once reported, once mended.
        let mended = stream(&host);
        worker.tick(&host);
        worker.tick(&host);
        assert_eq!(stream(&host), mended);
    }

    #[test]
    fn messages_of_streams_that_were_let_go_are_not_looked_at() {
        let (host, mut worker) = following();
        host.incoming.replace(vec![0xff]);
        worker.on_message(&host, 77, 1);
        assert_eq!(host.streams.borrow().len(), 1);
        worker.on_close(&host, 77, 0);
        assert_eq!(host.streams.borrow().len(), 1);
    }
}
