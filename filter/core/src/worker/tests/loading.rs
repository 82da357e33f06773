//! Snapshots that arrive slowly, or in several parts.

use super::history::{reconnect, sent};
use super::*;
use latchkey_protocol::Load;

const IMAGE: [u8; 16] = [4; 16];

fn load(batches: u64) -> Load {
    Load {
        image: IMAGE.to_vec(),
        batches,
    }
}

fn welcome_with(load: Load) -> to_node::Message {
    let welcome = Welcome {
        epoch: vec![9; 16],
        format: FORMAT,
        keys: 3,
        protocol: 1,
        load: Some(load),
        ..Welcome::default()
    };
    to_node::Message::Welcome(welcome)
}

/// Creates a worker that has two batches of a snapshot.
fn half_way() -> (FakeHost, Worker) {
    let host = host();
    let mut worker = worker(&host);
    worker.tick(&host, false);
    assert_eq!(hello(&host).load, None);
    deliver(&mut worker, &host, welcome_with(load(0)));
    for (sequence, name) in [(1, "one"), (2, "two")] {
        deliver(
            &mut worker,
            &host,
            to_node::Message::Batch(batch(sequence, 0, name)),
        );
    }
    host.sent.take();
    (host, worker)
}

#[test]
fn interrupted_load_resumes() {
    let (host, mut worker) = half_way();
    assert_eq!(reconnect(&host, &mut worker).load, Some(load(2)));
    deliver(&mut worker, &host, welcome_with(load(2)));
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 0, "three")),
    );
    // Again, and with another worker.
    host.advance_millis(3_100);
    let sibling = host.sibling();
    let mut next = self::worker(&sibling);
    next.tick(&sibling, false);
    assert_eq!(hello(&sibling).load, Some(load(3)));
    deliver(&mut next, &sibling, welcome_with(load(3)));
    deliver(
        &mut next,
        &sibling,
        to_node::Message::Batch(batch(1, 7, "four")),
    );
    for name in ["one", "two", "three", "four"] {
        assert!(knows(&next, &sibling, name), "{name}");
    }
    assert_eq!(reconnect(&sibling, &mut next).load, None, "it is done");
}

#[test]
fn load_restarts_on_the_control_planes_request() {
    let (host, mut worker) = half_way();
    reconnect(&host, &mut worker);
    deliver(
        &mut worker,
        &host,
        welcome_with(Load {
            image: vec![8; 16],
            batches: 0,
        }),
    );
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 7, "three")),
    );
    assert!(knows(&worker, &host, "three") && !knows(&worker, &host, "one"));
}

#[test]
fn rest_of_another_load_is_refused() {
    for other in [
        load(3),
        Load {
            image: vec![8; 16],
            batches: 2,
        },
        Load {
            image: vec![4; 15],
            batches: 2,
        },
    ] {
        let (host, mut worker) = half_way();
        reconnect(&host, &mut worker);
        deliver(&mut worker, &host, welcome_with(other));
        worker.tick(&host, false);
        assert!(host.streams.borrow().is_empty());
    }
}

#[test]
fn silence_is_longer_during_a_load() {
    let (host, mut worker) = half_way();
    let loading = stream(&host);
    for _ in 0..29 {
        host.advance_millis(1_000);
        worker.tick(&host, false);
    }
    assert_eq!(stream(&host), loading);
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(3, 7, "three")),
    );
    // Until the snapshot was the newest once, changes may be as slow.
    for _ in 0..29 {
        host.advance_millis(1_000);
        worker.tick(&host, false);
    }
    assert_eq!(stream(&host), loading);
    let asked = sent_alive(&host);
    deliver(
        &mut worker,
        &host,
        to_node::Message::Heartbeat(Heartbeat {
            revision: 7,
            echo: asked,
            ..Heartbeat::default()
        }),
    );
    for _ in 0..5 {
        host.advance_millis(1_000);
        worker.tick(&host, false);
    }
    assert_ne!(host.streams.borrow().last(), Some(&loading));
}

fn sent_alive(host: &FakeHost) -> u64 {
    let alive = |message: &from_node::Message| match message {
        from_node::Message::Alive(alive) => Some(alive.sent),
        _ => None,
    };
    host.sent.borrow().iter().rev().find_map(alive).unwrap()
}

#[test]
fn damage_begins_the_load_again() {
    let (host, mut worker) = half_way();
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(Batch {
            keys: vec![1].into(),
            ..batch(3, 0, "three")
        }),
    );
    assert_eq!(sent(&host), []);
    worker.tick(&host, false);
    host.advance_millis(600);
    worker.tick(&host, false);
    assert_eq!(hello(&host).load, None);
}
