//! The highest age of a snapshot, and the reports of it to the control plane.

use super::history::{following_with_tags, reconnect, welcome_of_this_version};
use super::*;
use latchkey_protocol::Alive;

const SECOND: u64 = 1_000_000_000;

fn alive(host: &FakeHost) -> Vec<Alive> {
    let alive = |message| match message {
        from_node::Message::Alive(alive) => Some(alive),
        _ => None,
    };
    host.sent.take().into_iter().filter_map(alive).collect()
}

pub(super) fn heartbeat(revision: u64, tag: [u8; 16], echo: u64) -> to_node::Message {
    to_node::Message::Heartbeat(Heartbeat {
        revision,
        tag: tag.to_vec(),
        echo,
    })
}

fn configured(host: &FakeHost, seconds: u64) -> Worker {
    let mut worker = Worker::default();
    let limit = if seconds == 0 {
        String::new()
    } else {
        format!(r#","max_staleness_seconds":{seconds}"#)
    };
    let configuration =
        format!(r#"{{"control_plane":{{"cluster":"latchkey","token":"node-token"}}{limit}}}"#);
    assert!(worker.configure(host, configuration.as_bytes()));
    worker
}

/// Returns the limit that all workers enforce, independent of their own.
fn enforced(worker: &Worker, host: &FakeHost) -> u64 {
    worker
        .shared()
        .reader()
        .unwrap()
        .view(host)
        .unwrap()
        .staleness()
}

#[test]
fn contact_is_the_time_of_the_request() {
    let (host, mut worker) = following_with_tags();
    let shared = worker.shared();
    let asked = host.monotonic.get();
    assert_eq!(
        shared.check_staleness(&host, SECOND),
        Err(Unavailable::Stale),
        "a batch is no contact"
    );
    host.advance_millis(700);
    deliver(&mut worker, &host, heartbeat(5, [5; 16], asked));
    assert_eq!(snapshot::last_contact(&host), Ok(Some(asked)));
    assert_eq!(shared.check_staleness(&host, 700_000_000), Ok(()));
    assert_eq!(
        shared.check_staleness(&host, 699_999_999),
        Err(Unavailable::Stale)
    );
    // An older answer changes nothing.
    host.advance_millis(300);
    worker.tick(&host, false);
    let [second] = *alive(&host) else {
        panic!("one a second")
    };
    assert_eq!(
        (second.sent, second.unix_millis),
        (asked + SECOND, host.clock.get() / 1_000_000)
    );
    deliver(&mut worker, &host, heartbeat(5, [5; 16], second.sent));
    deliver(&mut worker, &host, heartbeat(5, [5; 16], asked));
    assert_eq!(snapshot::last_contact(&host), Ok(Some(second.sent)));
}

#[test]
fn heartbeats_that_answer_nothing_refresh_nothing() {
    let (host, mut worker) = following_with_tags();
    let asked = host.monotonic.get();
    host.advance_millis(500);
    for (revision, tag, echo) in [
        (5, [5; 16], 0),
        (5, [5; 16], asked + 1),
        (5, [5; 16], asked - 1),
        (5, [5; 16], u64::MAX),
        (5, [6; 16], asked),
        (5, [0; 16], asked),
        (6, [5; 16], asked),
        (4, [5; 16], asked),
    ] {
        deliver(&mut worker, &host, heartbeat(revision, tag, echo));
        assert_eq!(
            snapshot::last_contact(&host),
            Ok(None),
            "{revision} {tag:?} {echo}"
        );
    }
    deliver(
        &mut worker,
        &host,
        to_node::Message::Heartbeat(Heartbeat {
            revision: 5,
            echo: asked,
            ..Heartbeat::default()
        }),
    );
    assert_eq!(
        snapshot::last_contact(&host),
        Ok(None),
        "this version sends tags"
    );
    deliver(&mut worker, &host, heartbeat(5, [5; 16], asked));
    assert_eq!(snapshot::last_contact(&host), Ok(Some(asked)));
}

#[test]
fn answers_of_an_earlier_stream_refresh_nothing() {
    let (host, mut worker) = following_with_tags();
    let asked = host.monotonic.get();
    reconnect(&host, &mut worker);
    deliver(&mut worker, &host, welcome_of_this_version(true));
    deliver(&mut worker, &host, heartbeat(5, [5; 16], asked));
    assert_eq!(snapshot::last_contact(&host), Ok(None));
}

#[test]
fn longest_limit_is_reported() {
    let host = host();
    let siblings = [host.sibling(), host.sibling()];
    let mut workers = [configured(&siblings[0], 60), configured(&siblings[1], 20)];
    workers[1].tick(&siblings[1], false);
    assert_eq!(hello(&siblings[1]).staleness_seconds, 20);
    workers[0].tick(&siblings[0], false);
    deliver(
        &mut workers[1],
        &siblings[1],
        welcome_of_this_version(false),
    );
    deliver(
        &mut workers[1],
        &siblings[1],
        to_node::Message::Batch(batch(1, 5, "one")),
    );
    assert_eq!(enforced(&workers[1], &host), 20);
    host.advance_millis(1_000);
    siblings[1].sent.take();
    workers[1].tick(&siblings[1], false);
    assert_eq!(
        hello(&siblings[1]).staleness_seconds,
        60,
        "on another stream"
    );
    assert_eq!(
        enforced(&workers[0], &host),
        20,
        "not before the control plane has it"
    );
    deliver(&mut workers[1], &siblings[1], welcome_of_this_version(true));
    assert_eq!(enforced(&workers[0], &host), 60);
    // A worker without a limit joins.
    let sibling = host.sibling();
    let mut unlimited = configured(&sibling, 0);
    unlimited.tick(&sibling, false);
    assert_eq!(
        enforced(&unlimited, &host),
        60,
        "it enforces what was reported"
    );
    host.advance_millis(1_000);
    siblings[1].sent.take();
    workers
        .iter_mut()
        .zip(&siblings)
        .for_each(|(worker, host)| worker.tick(host, false));
    assert_eq!(hello(&siblings[1]).staleness_seconds, 0);
    deliver(&mut workers[1], &siblings[1], welcome_of_this_version(true));
    assert_eq!(enforced(&unlimited, &host), 0);
}

#[test]
fn shorter_limit_holds_before_its_report() {
    let host = host();
    let mut long = configured(&host, 60);
    long.tick(&host, false);
    hello(&host);
    deliver(&mut long, &host, welcome_of_this_version(false));
    deliver(
        &mut long,
        &host,
        to_node::Message::Batch(batch(1, 5, "one")),
    );
    assert_eq!(enforced(&long, &host), 60);
    // Its successor has a shorter limit, and nobody answers it.
    let sibling = host.sibling();
    let mut short = configured(&sibling, 20);
    short.tick(&sibling, false);
    long.finish(&host);
    host.advance_millis(5_100);
    short.tick(&sibling, false);
    assert_eq!(hello(&sibling).staleness_seconds, 20);
    assert_eq!(enforced(&short, &host), 20);
}

#[test]
fn removed_limit_is_forgotten_in_time() {
    let host = host();
    let (mut holder, gone) = (configured(&host, 20), host.sibling());
    configured(&gone, 60).tick(&gone, false);
    gone.streams.borrow_mut().clear();
    host.advance_millis(3_100);
    holder.tick(&host, false);
    assert_eq!(hello(&host).staleness_seconds, 60);
    deliver(&mut holder, &host, welcome_of_this_version(false));
    deliver(
        &mut holder,
        &host,
        to_node::Message::Batch(batch(1, 5, "one")),
    );
    let mut reported = Vec::new();
    for second in 1..=30 {
        host.advance_millis(1_000);
        deliver(
            &mut holder,
            &host,
            to_node::Message::Heartbeat(Heartbeat::default()),
        );
        holder.tick(&host, false);
        for message in host.sent.take() {
            if let from_node::Message::Hello(hello) = message {
                reported.push((second, hello.staleness_seconds));
                deliver(&mut holder, &host, welcome_of_this_version(true));
            }
        }
    }
    assert!(matches!(*reported, [(10..=12, 20)]), "{reported:?}");
}

#[test]
fn version_0_1_refreshes_by_arrival() {
    let (host, mut worker) = following();
    host.advance_millis(10_000);
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
    assert_eq!(alive(&host), [], "it does not know the message");
}
