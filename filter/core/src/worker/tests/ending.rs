//! Filters that end in order.

use super::history::{following_with_tags, reconnect, sent, welcome_of_this_version};
use super::staleness::heartbeat;
use super::usage::{admit_often, totals};
use super::*;

#[test]
fn ending_filter_hands_over_the_stream() {
    let (host, mut worker) = following_with_tags();
    let sibling = host.sibling();
    let mut next = self::worker(&sibling);
    next.tick(&sibling, false);
    assert!(sibling.streams.borrow().is_empty());
    worker.finish(&host);
    assert_eq!(sent(&host), [], "another goes on");
    next.tick(&sibling, false);
    assert_eq!(hello(&sibling).revision, 5);
    assert!(knows(&next, &sibling, "one"));
}

#[test]
fn last_filter_says_goodbye() {
    let (host, mut worker) = following_with_tags();
    host.clock.set(1_700_000_000 * 1_000_000_000);
    deliver(&mut worker, &host, heartbeat(5, [5; 16], 0));
    worker.tick(&host, true);
    host.sent.take();
    let sibling = host.sibling();
    let mut other = self::worker(&sibling);
    other.tick(&sibling, true);
    admit_often(&sibling, &other, 1, 30);
    admit_often(&host, &worker, 1, 30);
    other.finish(&sibling);
    assert!(sibling.sent.take().is_empty());
    worker.finish(&host);
    match &*sent(&host) {
        [
            from_node::Message::Usage(usage),
            from_node::Message::Goodbye(_),
        ] => assert_eq!(totals(usage), [(101, 60)]),
        other => panic!("{other:?}"),
    }
    let late = self::worker(&host).shared();
    assert_eq!(
        late.reader().unwrap().view(&host).err(),
        Some(Unavailable::Suspended),
        "it serves nothing"
    );
}

#[test]
fn snapshot_is_read_again_once_current() {
    let (host, mut worker) = following_with_tags();
    worker.finish(&host);
    host.sent.take();
    let sibling = host.sibling();
    let mut next = self::worker(&sibling);
    let is_read = |worker: &Worker| worker.shared().reader().unwrap().view(&sibling).is_ok();
    next.tick(&sibling, false);
    let hello = hello(&sibling);
    assert_eq!((hello.epoch, hello.revision), (vec![9; 16], 5));
    deliver(&mut next, &sibling, welcome_of_this_version(true));
    deliver(
        &mut next,
        &sibling,
        to_node::Message::Batch(Batch {
            tag: vec![6; 16].into(),
            ..batch(1, 6, "two")
        }),
    );
    assert!(!is_read(&next), "there may be a newer one");
    deliver(
        &mut next,
        &sibling,
        heartbeat(6, [6; 16], sibling.monotonic.get()),
    );
    assert!(is_read(&next));
}

#[test]
fn version_0_1_gets_no_goodbye() {
    let (host, mut worker) = following();
    worker.finish(&host);
    assert_eq!(host.sent.take(), []);
    assert!(knows(&self::worker(&host), &host, "one"));
}

#[test]
fn filter_without_a_stream_says_nothing() {
    let (host, mut worker) = following_with_tags();
    let lost = stream(&host);
    worker.on_close(&host, lost, 14);
    host.sent.take();
    worker.finish(&host);
    assert_eq!(host.sent.take(), []);
    assert!(knows(&self::worker(&host), &host, "one"));
}

#[test]
fn filter_ends_despite_failing_sends() {
    let (host, mut worker) = following_with_tags();
    host.stubborn.set("send");
    worker.finish(&host);
    assert_eq!(
        host.log
            .borrow()
            .iter()
            .filter(|line| line.contains("damaged"))
            .count(),
        0
    );
}

#[test]
fn busy_thread_yields_the_stream() {
    let (host, mut busy) = following_with_tags();
    reconnect(&host, &mut busy);
    deliver(&mut busy, &host, welcome_of_this_version(true));
    deliver(
        &mut busy,
        &host,
        heartbeat(5, [5; 16], host.monotonic.get()),
    );
    let sibling = host.sibling();
    let mut main = worker(&sibling);
    let mut moved_after = 0;
    while sibling.streams.borrow().is_empty() {
        assert!(moved_after < 100);
        moved_after += 1;
        host.advance_millis(100);
        deliver(&mut busy, &host, heartbeat(5, [5; 16], 0));
        main.tick(&sibling, false);
        busy.tick(&host, true);
    }
    assert!(
        (10..15).contains(&moved_after),
        "after {moved_after} ticks: once the stream is not quite new"
    );
    assert_eq!(hello(&sibling).revision, 5);
}
