//! This filter with a control plane of version 0.1, as during an upgrade that begins with Envoys.

use super::history::reconnect;
use super::staleness::heartbeat;
use super::*;
use latchkey_policy::record::MIN_FORMAT;
use latchkey_policy::settings::SettingsRecord;

/// Returns a welcome with the record format and the messages of version 0.1.
fn earlier_welcome(resume: bool) -> to_node::Message {
    let to_node::Message::Welcome(welcome) = welcome(resume) else {
        panic!()
    };
    to_node::Message::Welcome(Welcome {
        format: MIN_FORMAT,
        protocol: 0,
        ..welcome
    })
}

fn earlier_batch(sequence: u64, revision: u64, name: &str) -> to_node::Message {
    let mut routes = Vec::new();
    SettingsRecord::default()
        .encode(MIN_FORMAT, &mut routes)
        .unwrap();
    to_node::Message::Batch(Batch {
        routes: routes.into(),
        ..batch(sequence, revision, name)
    })
}

/// Creates a worker that follows such a control plane from revision 5 on.
fn following_the_earlier() -> (FakeHost, Worker) {
    let host = host();
    let mut worker = worker(&host);
    worker.tick(&host, false);
    hello(&host);
    deliver(&mut worker, &host, earlier_welcome(false));
    deliver(&mut worker, &host, earlier_batch(1, 5, "one"));
    assert_eq!(acks(&host), [(1, 5)]);
    (host, worker)
}

#[test]
fn earlier_control_planes_records_are_followed() {
    let (host, mut worker) = following_the_earlier();
    assert!(knows(&worker, &host, "one"));
    let removal = Batch {
        sequence: 2,
        removed_keys: KeyDigest::of(b"one").0.to_vec().into(),
        revision: 6,
        ..Batch::default()
    };
    deliver(&mut worker, &host, to_node::Message::Batch(removal));
    assert_eq!(acks(&host), [(2, 6)]);
    assert!(!knows(&worker, &host, "one"));
    // After a lost stream it resumes by changes, as it names the revision.
    let hello = reconnect(&host, &mut worker);
    assert_eq!(
        (hello.epoch, hello.revision, hello.tag),
        (vec![9; 16], 6, Vec::new())
    );
    deliver(&mut worker, &host, earlier_welcome(true));
    deliver(&mut worker, &host, earlier_batch(1, 7, "two"));
    assert_eq!(acks(&host), [(1, 7)]);
    assert!(knows(&worker, &host, "two"));
}

#[test]
fn earlier_control_plane_refreshes_by_revision() {
    let (host, mut worker) = following_the_earlier();
    for _ in 0..5 {
        host.advance_millis(1_000);
        deliver(&mut worker, &host, heartbeat(4, [0; 16], 0));
        assert_ne!(
            snapshot::last_contact(&host),
            Ok(Some(host.monotonic.get())),
            "there is another revision"
        );
        deliver(
            &mut worker,
            &host,
            to_node::Message::Heartbeat(Heartbeat {
                revision: 5,
                ..Heartbeat::default()
            }),
        );
        assert_eq!(
            snapshot::last_contact(&host),
            Ok(Some(host.monotonic.get()))
        );
        worker.tick(&host, false);
    }
    assert_eq!(host.streams.borrow().len(), 1);
}

#[test]
fn earlier_control_plane_gets_known_messages() {
    let (host, mut worker) = following_the_earlier();
    for _ in 0..50 {
        host.advance_millis(100);
        deliver(
            &mut worker,
            &host,
            to_node::Message::Heartbeat(Heartbeat {
                revision: 5,
                ..Heartbeat::default()
            }),
        );
        worker.tick(&host, false);
    }
    worker.finish(&host);
    let unknown = host.sent.take().into_iter().find(|message| {
        matches!(
            message,
            from_node::Message::Alive(_) | from_node::Message::Goodbye(_)
        )
    });
    assert_eq!(unknown, None);
}
