//! One worker or two, on a fake host: streams, leases, snapshots.

use super::*;
use crate::fake::FakeHost;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::FORMAT;
use latchkey_policy::snapshot::Unavailable;
use latchkey_policy::test_util;
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
        other => panic!("{other:?}"),
    };
    host.sent.take().into_iter().map(ack).collect()
}

fn stream(host: &FakeHost) -> StreamId {
    *host.streams.borrow().last().unwrap()
}

fn deliver(worker: &mut Worker, host: &FakeHost, message: to_node::Message) {
    deliver_bytes(
        worker,
        host,
        ToNode {
            message: Some(message),
        }
        .encode_to_vec(),
    );
}

fn deliver_bytes(worker: &mut Worker, host: &FakeHost, message: Vec<u8>) {
    let size = message.len();
    host.incoming.replace(message);
    worker.on_message(host, stream(host), size);
}

fn welcome(resume: bool) -> to_node::Message {
    to_node::Message::Welcome(Welcome {
        epoch: vec![9; 16],
        format: FORMAT,
        resume,
        heartbeat_millis: 1000,
        keys: 1,
        ..Welcome::default()
    })
}

fn batch(sequence: u64, revision: u64, name: &str) -> Batch {
    let (mut policies, mut keys) = (Vec::new(), Vec::new());
    test_util::policy(1).encode(&mut policies).unwrap();
    test_util::key(KeyDigest::of(name.as_bytes()), 1, name)
        .encode(&mut keys)
        .unwrap();
    Batch {
        sequence,
        routes: test_util::no_routes().into(),
        policies: policies.into(),
        keys: keys.into(),
        revision,
        ..Batch::default()
    }
}

fn knows(worker: &Worker, host: &FakeHost, name: &str) -> bool {
    let shared = worker.shared();
    let mut reader = shared.reader().unwrap();
    reader
        .view(host)
        .unwrap()
        .find(host, &KeyDigest::of(name.as_bytes()))
        .unwrap()
        .is_some()
}

/// Creates a worker that holds the stream and has a snapshot at revision 5 with the key `one`.
fn following() -> (FakeHost, Worker) {
    let host = host();
    let mut worker = worker(&host);
    worker.tick(&host, false);
    let hello = hello(&host);
    assert_eq!(
        (hello.epoch.len(), hello.revision, hello.format),
        (0, 0, FORMAT)
    );
    deliver(&mut worker, &host, welcome(false));
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 5, "one")),
    );
    assert_eq!(acks(&host), [(1, 5)]);
    assert!(knows(&worker, &host, "one"));
    (host, worker)
}

#[test]
fn invalid_configuration_logs_every_error() {
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
fn snapshot_applies_whole_after_its_batches() {
    let host = host();
    let mut worker = worker(&host);
    worker.tick(&host, false);
    hello(&host);
    deliver(&mut worker, &host, welcome(false));
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 0, "one")),
    );
    assert_eq!(acks(&host), [(1, 0)]);
    assert!(worker.shared().reader().unwrap().view(&host).is_err());
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(2, 5, "two")),
    );
    assert_eq!(acks(&host), [(2, 5)]);
    assert!(knows(&worker, &host, "one") && knows(&worker, &host, "two"));
    assert_eq!(host.metric("latchkey_revision"), 5);
    assert_eq!(host.metric("latchkey_keys"), 2);
    assert_eq!(host.metric("latchkey_snapshots_loaded"), 1);
}

#[test]
fn change_is_in_force_before_acknowledgement() {
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
fn stream_resumes_by_changes_after_a_loss() {
    let (host, mut worker) = following();
    let lost = stream(&host);
    worker.on_close(&host, lost, 14);
    assert!(host.streams.borrow().is_empty());
    assert_eq!(host.metric("latchkey_stream_connected"), 0);
    host.advance_millis(100);
    worker.tick(&host, false);
    let hello = hello(&host);
    assert_eq!((hello.epoch, hello.revision), (vec![9; 16], 5));
    deliver(&mut worker, &host, welcome(true));
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 6, "two")),
    );
    assert_eq!(acks(&host), [(1, 6)]);
    assert!(knows(&worker, &host, "one") && knows(&worker, &host, "two"));
    assert_eq!(host.metric("latchkey_snapshots_loaded"), 1);
}

#[test]
fn another_worker_replaces_a_dead_one() {
    let (host, dead) = following();
    let sibling = host.sibling();
    let mut next = worker(&sibling);
    next.tick(&sibling, false);
    assert!(sibling.streams.borrow().is_empty());
    host.advance_millis(3_100);
    next.tick(&sibling, false);
    assert_eq!(hello(&sibling).revision, 5);
    drop(dead);
}

#[test]
fn replaced_worker_lets_go() {
    let (host, mut sleeper) = following();
    let sibling = host.sibling();
    let mut next = worker(&sibling);
    host.advance_millis(3_100);
    next.tick(&sibling, false);
    deliver(&mut next, &sibling, welcome(true));
    deliver(
        &mut next,
        &sibling,
        to_node::Message::Batch(batch(1, 6, "two")),
    );
    // Its own stream delivers a message that it has not seen yet.
    deliver(
        &mut sleeper,
        &host,
        to_node::Message::Batch(batch(2, 6, "stale")),
    );
    assert_eq!(acks(&host), []);
    sleeper.tick(&host, false);
    assert!(host.streams.borrow().is_empty());
    assert!(!knows(&next, &sibling, "stale"));
    assert_eq!(sibling.streams.borrow().len(), 1);
    next.tick(&sibling, false);
    assert_eq!(sibling.streams.borrow().len(), 1);
}

#[test]
fn workers_share_the_time_of_contact() {
    let (host, mut worker) = following();
    let other = self::worker(&host.sibling()).shared();
    let minute = 60_000_000_000;
    assert_eq!(other.check_staleness(&host, minute), Ok(()));
    host.advance_millis(60_001);
    assert_eq!(
        other.check_staleness(&host, minute),
        Err(Unavailable::Stale)
    );
    deliver(
        &mut worker,
        &host,
        to_node::Message::Heartbeat(Heartbeat {
            revision: 99,
            ..Heartbeat::default()
        }),
    );
    assert_eq!(
        other.check_staleness(&host, minute),
        Err(Unavailable::Stale),
        "there is a newer one, not here yet"
    );
    deliver(
        &mut worker,
        &host,
        to_node::Message::Heartbeat(Heartbeat {
            revision: 5,
            ..Heartbeat::default()
        }),
    );
    assert_eq!(other.check_staleness(&host, minute), Ok(()));

    // A clock that is set does not change the snapshot's age.
    for set in [host.clock.get() - 2 * minute, host.clock.get() + 2 * minute] {
        host.clock.set(set);
        assert_eq!(other.check_staleness(&host, minute), Ok(()));
    }

    // The promise of changes does not make it newer either.
    host.advance_millis(60_001);
    let lost = stream(&host);
    worker.on_close(&host, lost, 14);
    host.advance_millis(100);
    worker.tick(&host, false);
    deliver(&mut worker, &host, welcome(true));
    assert_eq!(
        other.check_staleness(&host, minute),
        Err(Unavailable::Stale)
    );
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 6, "two")),
    );
    assert_eq!(other.check_staleness(&host, minute), Ok(()));
}

#[test]
fn silence_ends_the_stream_unless_heartbeats_come() {
    let (host, mut worker) = following();
    for _ in 0..10 {
        host.advance_millis(1_000);
        deliver(
            &mut worker,
            &host,
            to_node::Message::Heartbeat(Heartbeat {
                revision: 5,
                ..Heartbeat::default()
            }),
        );
        worker.tick(&host, false);
        assert_eq!(host.streams.borrow().len(), 1);
    }
    let silent = stream(&host);
    for _ in 0..5 {
        host.advance_millis(1_000);
        worker.tick(&host, false);
    }
    assert!(!host.streams.borrow().contains(&silent));
    assert!(knows(&worker, &host, "one"));
}

#[test]
fn malformed_message_ends_the_stream_and_reloads() {
    let nonsense: [fn() -> Vec<u8>; 7] = [
        || vec![0xff; 30],
        || message(welcome(true)),
        || message(to_node::Message::Batch(batch(3, 6, "two"))),
        || message(to_node::Message::Batch(batch(1, 6, "two"))),
        || {
            message(to_node::Message::Batch(Batch {
                keys: vec![1, 2, 3].into(),
                ..batch(2, 6, "two")
            }))
        },
        || {
            message(to_node::Message::Batch(Batch {
                removed_keys: vec![0; 33].into(),
                ..batch(2, 6, "two")
            }))
        },
        || {
            // Only the length of this message is wrong.
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
        assert_eq!(
            host.streams.borrow().len(),
            1,
            "let go of while Envoy delivers"
        );
        assert_eq!(acks(&host), []);
        assert!(knows(&worker, &host, "one") && !knows(&worker, &host, "two"));
        host.advance_millis(100);
        worker.tick(&host, false);
        assert_eq!(host.streams.borrow().len(), 1);
        assert_eq!(hello(&host).revision, 0);
    }
}

fn message(message: to_node::Message) -> Vec<u8> {
    ToNode {
        message: Some(message),
    }
    .encode_to_vec()
}

#[test]
fn changes_without_their_snapshot_are_refused() {
    for welcome in [
        welcome(true),
        to_node::Message::Welcome(Welcome {
            epoch: vec![9; 15],
            format: FORMAT,
            ..Welcome::default()
        }),
        to_node::Message::Welcome(Welcome {
            epoch: vec![9; 16],
            format: FORMAT + 1,
            ..Welcome::default()
        }),
        to_node::Message::Batch(batch(1, 1, "one")),
    ] {
        let host = host();
        let mut worker = worker(&host);
        worker.tick(&host, false);
        hello(&host);
        deliver(&mut worker, &host, welcome);
        worker.tick(&host, false);
        assert!(host.streams.borrow().is_empty());
        assert!(worker.shared().reader().unwrap().view(&host).is_err());
    }
}

#[test]
fn unreachable_control_plane_is_retried() {
    let host = host();
    let mut worker = worker(&host);
    host.unreachable.set(true);
    for _ in 0..100 {
        worker.tick(&host, false);
        host.advance_millis(100);
    }
    assert!(
        (15..30).contains(&host.metric("latchkey_stream_opened")),
        "{}",
        host.metric("latchkey_stream_opened")
    );
    assert_eq!(host.log.borrow().len(), 1, "{:?}", host.log.borrow());
    host.unreachable.set(false);
    host.advance_millis(600);
    worker.tick(&host, false);
    assert_eq!(host.streams.borrow().len(), 1);
}

#[test]
fn damage_is_repaired_by_a_full_snapshot() {
    let (host, mut worker) = following();
    let sibling = host.sibling();
    let other = self::worker(&sibling);
    host.cells.tamper(|name, bytes| {
        let page = name.rsplit('/').next().unwrap();
        if page.starts_with(['a', 'b']) {
            bytes.truncate(bytes.len() / 2);
        }
    });
    let shared = other.shared();
    let digest = KeyDigest::of(b"one");
    let damaged = shared
        .reader()
        .unwrap()
        .view(&sibling)
        .and_then(|mut view| view.find(&sibling, &digest))
        .unwrap_err();
    assert_eq!(damaged, Unavailable::Damaged);
    shared.complain(&sibling, damaged);
    worker.tick(&host, false);
    host.advance_millis(100);
    worker.tick(&host, false);
    assert_eq!(hello(&host).revision, 0);
    deliver(&mut worker, &host, welcome(false));
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 6, "one")),
    );
    assert!(knows(&other, &sibling, "one"));
    // A report of damage leads to one repair.
    let mended = stream(&host);
    worker.tick(&host, false);
    worker.tick(&host, false);
    assert_eq!(stream(&host), mended);
}

#[test]
fn messages_of_released_streams_are_ignored() {
    let (host, mut worker) = following();
    host.incoming.replace(vec![0xff]);
    worker.on_message(&host, 77, 1);
    assert_eq!(host.streams.borrow().len(), 1);
    worker.on_close(&host, 77, 0);
    assert_eq!(host.streams.borrow().len(), 1);
}

mod earlier_control_plane;
mod ending;
mod history;
mod loading;
mod staleness;
mod usage;
