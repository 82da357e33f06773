//! Secrets, tags, unknown epochs, and the source of the node token.

use super::staleness::heartbeat;
use super::*;
use latchkey_protocol::Waiting;

const TAG: [u8; 16] = [5; 16];

fn tagged(batch: Batch) -> to_node::Message {
    to_node::Message::Batch(Batch {
        tag: TAG.to_vec().into(),
        ..batch
    })
}

pub(super) fn welcome_of_this_version(resume: bool) -> to_node::Message {
    let to_node::Message::Welcome(welcome) = welcome(resume) else {
        panic!()
    };
    to_node::Message::Welcome(Welcome {
        protocol: 1,
        ..welcome
    })
}

/// Returns all messages but `Alive`.
pub(super) fn sent(host: &FakeHost) -> Vec<from_node::Message> {
    let mut sent = host.sent.take();
    sent.retain(|message| !matches!(message, from_node::Message::Alive(_)));
    sent
}

/// Creates a worker that follows a control plane of this version from revision 5 on.
pub(super) fn following_with_tags() -> (FakeHost, Worker) {
    let host = host();
    let mut worker = worker(&host);
    worker.tick(&host, false);
    hello(&host);
    deliver(&mut worker, &host, welcome_of_this_version(false));
    deliver(&mut worker, &host, tagged(batch(1, 5, "one")));
    assert_eq!(sent(&host).len(), 1);
    (host, worker)
}

/// Loses the stream, and opens the next one.
pub(super) fn reconnect(host: &FakeHost, worker: &mut Worker) -> Hello {
    let lost = stream(host);
    worker.on_close(host, lost, 14);
    host.sent.take();
    host.advance_millis(600);
    worker.tick(host, false);
    hello(host)
}

#[test]
fn hello_names_epoch_revision_and_tag() {
    let (host, mut worker) = following_with_tags();
    let hello = reconnect(&host, &mut worker);
    assert_eq!(
        (hello.epoch, hello.revision, hello.tag),
        (vec![9; 16], 5, TAG.to_vec())
    );
    assert_eq!(
        (hello.protocol, hello.unix_millis),
        (1, host.clock.get() / 1_000_000)
    );
    deliver(&mut worker, &host, welcome_of_this_version(true));
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(Batch {
            tag: vec![6; 16].into(),
            ..batch(1, 6, "two")
        }),
    );
    host.sent.take();
    let hello = reconnect(&host, &mut worker);
    assert_eq!((hello.revision, hello.tag), (6, vec![6; 16]));
}

#[test]
fn secrets_last_for_the_process() {
    let (host, mut worker) = following_with_tags();
    let hello = reconnect(&host, &mut worker);
    let secrets = (hello.snapshot_secret, hello.meter_secret);
    assert!(secrets.0.len() == 16 && secrets.1.len() == 16 && secrets.0 != secrets.1);
    host.advance_millis(3_100);
    let sibling = host.sibling();
    let mut next = self::worker(&sibling);
    next.tick(&sibling, false);
    let hello = self::hello(&sibling);
    assert_eq!((hello.snapshot_secret, hello.meter_secret), secrets);
    let other = self::host();
    let mut worker = self::worker(&other);
    other.random().unwrap();
    worker.tick(&other, false);
    assert_ne!(
        self::hello(&other).snapshot_secret,
        secrets.0,
        "another process has others"
    );
}

#[test]
fn no_stream_opens_without_random_numbers() {
    let host = host();
    let mut worker = worker(&host);
    host.stubborn.set("random");
    worker.tick(&host, false);
    worker.tick(&host, false);
    assert!(host.sent.take().is_empty() && host.streams.borrow().is_empty());
    assert!(host.log.borrow()[0].contains("random numbers"));
}

#[test]
fn tag_of_wrong_length_ends_the_stream() {
    let (host, mut worker) = following_with_tags();
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(Batch {
            tag: vec![1; 15].into(),
            ..batch(2, 6, "two")
        }),
    );
    worker.tick(&host, false);
    assert!(host.streams.borrow().is_empty());
    assert!(!knows(&worker, &host, "two"));
}

#[test]
fn damaged_snapshot_needs_its_own_history() {
    let (host, mut worker) = following_with_tags();
    snapshot::report_damage(&host).unwrap();
    host.advance_millis(100);
    worker.tick(&host, false);
    host.sent.take();
    host.advance_millis(600);
    worker.tick(&host, false);
    let hello = hello(&host);
    assert_eq!(
        (hello.epoch, hello.revision, hello.tag),
        (vec![9; 16], 0, Vec::new())
    );
}

/// The worker that got the report may end before it has acted on it.
#[test]
fn damage_is_known_until_reloaded() {
    let (host, mut first) = following_with_tags();
    snapshot::report_damage(&host).unwrap();
    host.advance_millis(100);
    first.tick(&host, false);
    first.finish(&host);
    let mut second = worker(&host);
    for lost in 0..2 {
        host.sent.take();
        host.advance_millis(600);
        second.tick(&host, false);
        assert_eq!(hello(&host).revision, 0, "stream {lost}");
        let stream = stream(&host);
        second.on_close(&host, stream, 14);
    }
    host.advance_millis(600);
    second.tick(&host, false);
    deliver(&mut second, &host, welcome_of_this_version(false));
    deliver(&mut second, &host, tagged(batch(1, 5, "one")));
    host.advance_millis(100);
    second.tick(&host, false);
    assert_eq!(reconnect(&host, &mut second).revision, 5);
}

#[test]
fn waiting_is_shown_until_another_attempt() {
    let (host, mut worker) = following_with_tags();
    for _ in 0..2 {
        reconnect(&host, &mut worker);
        deliver(
            &mut worker,
            &host,
            to_node::Message::Waiting(Waiting { epoch: vec![1; 16] }),
        );
        assert_eq!(host.metric("latchkey_waiting"), 1);
    }
    reconnect(&host, &mut worker);
    assert_eq!(
        host.metric("latchkey_waiting"),
        1,
        "the control plane closed the stream, and may wait still"
    );
    reconnect(&host, &mut worker);
    assert_eq!(host.metric("latchkey_waiting"), 0);
}

#[test]
fn waiting_node_keeps_its_snapshot_unrefreshed() {
    let (host, mut worker) = following_with_tags();
    let shared = worker.shared();
    let contact = host.monotonic.get();
    snapshot::note_contact(&host, contact).unwrap();
    for round in 0..3 {
        reconnect(&host, &mut worker);
        deliver(
            &mut worker,
            &host,
            to_node::Message::Waiting(Waiting { epoch: vec![1; 16] }),
        );
        for _ in 0..10 {
            host.advance_millis(1_000);
            deliver(
                &mut worker,
                &host,
                to_node::Message::Heartbeat(Heartbeat::default()),
            );
            // These messages would refresh a node that follows.
            for (tag, echo) in [
                (TAG, 0),
                (TAG, host.monotonic.get()),
                ([0; 16], 0),
                ([0; 16], host.monotonic.get()),
            ] {
                deliver(&mut worker, &host, heartbeat(5, tag, echo));
            }
            deliver(
                &mut worker,
                &host,
                to_node::Message::Heartbeat(Heartbeat {
                    revision: 5,
                    ..Heartbeat::default()
                }),
            );
            assert_eq!(snapshot::last_contact(&host), Ok(Some(contact)));
            worker.tick(&host, false);
        }
        assert_eq!(host.sent.take(), [], "it says nothing");
        assert_eq!(host.streams.borrow().len(), 1, "heartbeats hold the stream");
        assert_eq!(host.metric("latchkey_waiting"), 1);
        assert!(knows(&worker, &host, "one"));
        let waited = 10_600_000_000 * (round + 1);
        assert_eq!(
            shared.check_staleness(&host, waited - 1),
            Err(Unavailable::Stale)
        );
        assert_eq!(shared.check_staleness(&host, waited), Ok(()));
    }
    let said = host
        .log
        .borrow()
        .iter()
        .filter(|line| line.contains("accept-epoch"))
        .count();
    assert_eq!(said, 1);
    // The operator accepts the epoch.
    deliver(&mut worker, &host, welcome_of_this_version(true));
    assert_eq!(host.metric("latchkey_waiting"), 0);
    deliver(&mut worker, &host, tagged(batch(1, 6, "two")));
    assert!(knows(&worker, &host, "two"));
}

#[test]
fn batch_before_epoch_acceptance_ends_the_stream() {
    let (host, mut worker) = following_with_tags();
    reconnect(&host, &mut worker);
    deliver(
        &mut worker,
        &host,
        to_node::Message::Waiting(Waiting { epoch: vec![1; 16] }),
    );
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 6, "two")),
    );
    worker.tick(&host, false);
    assert!(host.streams.borrow().is_empty());
    assert!(!knows(&worker, &host, "two"));
}

#[test]
fn node_token_comes_from_the_environment() {
    const BY_NAME: &[u8] = br#"{"control_plane":{"cluster":"latchkey","token_env":"TOKEN"}}"#;
    let host = host();
    // This is like a Secret that was created with `echo`.
    host.environment
        .borrow_mut()
        .insert("TOKEN".to_owned(), "node-token\n".to_owned());
    let mut worker = Worker::default();
    assert!(worker.configure(&host, BY_NAME));
    worker.tick(&host, false);
    // The fake host checks the token.
    hello(&host);
}

#[test]
fn no_stream_opens_without_the_node_token() {
    const BY_NAME: &[u8] = br#"{"control_plane":{"cluster":"latchkey","token_env":"TOKEN"}}"#;
    for token in [None, Some(""), Some("a b"), Some("token\n\n")] {
        let host = host();
        host.environment
            .borrow_mut()
            .extend(token.map(|token| ("TOKEN".to_owned(), token.to_owned())));
        let mut worker = Worker::default();
        assert!(
            worker.configure(&host, BY_NAME),
            "the configuration is valid"
        );
        assert!(host.log.borrow()[0].contains("TOKEN contains no node token"));
        for _ in 0..20 {
            worker.tick(&host, false);
            host.advance_millis(1_000);
        }
        assert_eq!(host.metric("latchkey_stream_opened"), 0);
        assert_eq!(
            worker.shared().reader().unwrap().view(&host).err(),
            Some(Unavailable::NotReady)
        );
    }
}

#[test]
fn instances_share_nothing() {
    let (host, _worker) = following_with_tags();
    let sibling = host.sibling();
    let mut other = Worker::default();
    let other_instance =
        br#"{"control_plane":{"cluster":"latchkey","token":"node-token"},"instance":"other"}"#;
    assert!(other.configure(&sibling, other_instance));
    assert_eq!(
        other.shared().reader().unwrap().view(&sibling).err(),
        Some(Unavailable::NotReady)
    );
    other.tick(&sibling, false);
    let hello = hello(&sibling);
    assert_eq!(
        (hello.epoch.len(), hello.revision),
        (0, 0),
        "it has a stream of its own"
    );
}
