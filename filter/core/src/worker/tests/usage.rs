//! A worker's reports of requests to the control plane, and counts from other nodes.

use super::*;
use crate::meters::Admission;
use latchkey_policy::ledger;
use latchkey_policy::limit::{Limits, Window};
use latchkey_policy::meter::{Meter, Outcome, Owner};
use latchkey_protocol::window_count::Kind;
use latchkey_protocol::{KeyRemoteUsage, LastUse, RemoteUsage, Usage, UsageAck, WindowCount};

const EPOCH: [u8; 16] = [9; 16];
const NOW: i64 = 1_700_000_000;

/// Creates a worker that follows, at a time at which windows have numbers.
fn in_time() -> (FakeHost, Worker) {
    let (host, mut worker) = following();
    host.clock.set(NOW.unsigned_abs() * 1_000_000_000);
    deliver(
        &mut worker,
        &host,
        to_node::Message::Heartbeat(Heartbeat {
            revision: 5,
            ..Heartbeat::default()
        }),
    );
    worker.tick(&host, false);
    host.sent.take();
    (host, worker)
}

/// Admits as a request does, at any worker.
fn admit(host: &FakeHost, worker: &Worker, slot: u32) {
    admit_by(host, worker, slot, 1);
}

/// Writes the worker's own counts to shared memory.
fn settle(host: &FakeHost, worker: &Worker) {
    (0..5).for_each(|_| worker.shared().meters.flush(host));
}

/// Admits with the key's secret of that number.
fn admit_by(host: &FakeHost, worker: &Worker, slot: u32, secret: u32) {
    let key = latchkey_policy::record::KeyRecord {
        slot,
        secret,
        number: u64::from(slot) + 100,
        ..test_util::key(KeyDigest::of(b"one"), 1, "one")
    };
    let source = || Some("192.0.2.7".parse().unwrap());
    let request = Admission {
        limits: &Limits::default(),
        enforced: true,
        now: NOW,
        source,
        metered: false,
    };
    worker
        .shared()
        .meters
        .admit(host, &EPOCH, &key, &request)
        .unwrap()
        .unwrap();
}

/// Admits `times` requests, most of which the worker counts in its allowance.
pub(super) fn admit_often(host: &FakeHost, worker: &Worker, slot: u32, times: u32) {
    (0..times).for_each(|_| admit(host, worker, slot));
}

/// Returns the reports that were sent after `ticks` ticks.
fn reports(host: &FakeHost, worker: &mut Worker, ticks: u32) -> Vec<Usage> {
    for _ in 0..ticks {
        host.advance_millis(100);
        worker.tick(host, false);
    }
    let usage = |message| match message {
        from_node::Message::Usage(usage) => Some(usage),
        _ => None,
    };
    host.sent.take().into_iter().filter_map(usage).collect()
}

pub(super) fn totals(usage: &Usage) -> Vec<(u64, u64)> {
    usage
        .keys
        .iter()
        .map(|key| (key.key, key.requests[Outcome::Allowed as usize]))
        .collect()
}

fn acknowledge(host: &FakeHost, worker: &mut Worker, sequence: u64) {
    deliver(
        worker,
        host,
        to_node::Message::UsageAck(UsageAck { sequence }),
    );
}

#[test]
fn admitted_totals_are_reported_until_acknowledged() {
    let (host, mut worker) = in_time();
    let sibling = host.sibling();
    let mut other = self::worker(&sibling);
    admit(&host, &worker, 1);
    admit(&sibling, &other, 1);
    admit(&sibling, &other, 2);
    other.tick(&sibling, false);
    let sent = reports(&host, &mut worker, 4);
    assert_eq!(sent.len(), 1, "one at a time");
    assert_eq!(
        (sent[0].sequence, totals(&sent[0])),
        (1, vec![(101, 2), (102, 1)])
    );
    let key = &sent[0].keys[0];
    assert_eq!(
        key.last_uses,
        [LastUse {
            secret: 1,
            at: NOW,
            ip: vec![192, 0, 2, 7]
        }]
    );
    let minute = WindowCount {
        kind: Kind::Minute.into(),
        number: Window::Minute.number(NOW),
        count: 2,
    };
    assert_eq!((key.windows.len(), key.windows[0]), (4, minute));

    // One of them is used again before the acknowledgement, which is only for the sent report.
    admit(&host, &worker, 1);
    acknowledge(&host, &mut worker, 1);
    let sent = reports(&host, &mut worker, 4);
    assert_eq!(sent.iter().map(totals).collect::<Vec<_>>(), [[(101, 3)]]);
    acknowledge(&host, &mut worker, 2);
    assert_eq!(reports(&host, &mut worker, 10), []);
}

#[test]
fn secrets_share_only_their_counts() {
    let (host, mut worker) = in_time();
    for secret in [1, 2, 1] {
        admit_by(&host, &worker, 1, secret);
    }
    settle(&host, &worker);
    let sent = reports(&host, &mut worker, 4);
    assert_eq!(totals(&sent[0]), [(101, 3)]);
    let used = |secret| LastUse {
        secret,
        at: NOW,
        ip: vec![192, 0, 2, 7],
    };
    assert_eq!(sent[0].keys[0].last_uses, [used(2), used(1)]);
}

#[test]
fn unacknowledged_usage_is_reported_again() {
    let (host, mut worker) = in_time();
    admit(&host, &worker, 1);
    assert_eq!(reports(&host, &mut worker, 4).len(), 1);
    let lost = stream(&host);
    worker.on_close(&host, lost, 14);
    admit(&host, &worker, 1);
    for _ in 0..10 {
        host.advance_millis(100);
        worker.tick(&host, false);
    }
    assert_ne!(stream(&host), lost);
    host.sent.take();
    deliver(&mut worker, &host, welcome(true));
    let sent = reports(&host, &mut worker, 4);
    assert_eq!(sent.iter().map(totals).collect::<Vec<_>>(), [[(101, 2)]]);
}

#[test]
fn busy_keys_starve_no_others() {
    let (host, mut worker) = in_time();
    let busy = 2_100;
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..3 {
        for slot in 0..busy {
            admit(&host, &worker, slot);
        }
        for usage in reports(&host, &mut worker, 4) {
            told.extend(usage.keys.iter().map(|key| key.key - 100));
            acknowledge(&host, &mut worker, usage.sequence);
        }
    }
    assert_eq!(told.len(), usize::try_from(busy).unwrap());
}

#[test]
fn unreadable_meter_loses_its_mark() {
    let (host, mut worker) = in_time();
    admit(&host, &worker, 1);
    host.cells.tamper(|name, bytes| {
        if name.ends_with("/n1") {
            bytes.truncate(9);
        }
    });
    assert_eq!(reports(&host, &mut worker, 5), []);
    assert_eq!(ledger::marked(&host, 0, 10).unwrap(), [0; 0]);
}

/// A request by the former history would replace these counters by that history's.
#[test]
fn foreign_counts_wait_for_their_history() {
    let (host, mut worker) = in_time();
    let lost = stream(&host);
    worker.on_close(&host, lost, 14);
    for _ in 0..10 {
        host.advance_millis(100);
        worker.tick(&host, false);
    }
    let epoch = [8; 16];
    let other = Welcome {
        epoch: epoch.to_vec(),
        format: FORMAT,
        resume: false,
        ..Welcome::default()
    };
    deliver(&mut worker, &host, to_node::Message::Welcome(other));
    let windows = vec![WindowCount {
        kind: Kind::Day.into(),
        number: Window::Day.number(NOW),
        count: 4,
    }];
    let keys = vec![KeyRemoteUsage {
        key: 101,
        slot: 1,
        windows,
    }];
    deliver(
        &mut worker,
        &host,
        to_node::Message::RemoteUsage(RemoteUsage { keys }),
    );
    admit(&host, &worker, 1);
    deliver(
        &mut worker,
        &host,
        to_node::Message::Batch(batch(1, 5, "one")),
    );
    let meter = ledger::read(&host, 1).unwrap().0.unwrap();
    assert_eq!(meter.owner(), Owner::new(&epoch, 101));
    assert_eq!(
        meter
            .nearest(&Limits::default().with(Window::Day, Some(10)), NOW)
            .unwrap()
            .remaining,
        6
    );
}

#[test]
fn keys_of_other_histories_are_unreported() {
    let (host, mut worker) = in_time();
    ledger::change(
        &host,
        1,
        Owner {
            epoch: [8; 4],
            key: 101,
        },
        |meter| meter.count(Outcome::IpDenied),
    )
    .unwrap();
    ledger::mark(&host, &[1]).unwrap();
    assert_eq!(reports(&host, &mut worker, 5), []);
    assert_eq!(ledger::marked(&host, 0, 10).unwrap(), [0; 0]);
}

#[test]
fn foreign_usage_reduces_local_limits() {
    let (host, mut worker) = in_time();
    admit(&host, &worker, 1);
    let day = Window::Day.number(NOW);
    let tell = |worker: &mut Worker, kind: i32, number, count| {
        let windows = vec![WindowCount {
            kind,
            number,
            count,
        }];
        let keys = vec![KeyRemoteUsage {
            key: 101,
            slot: 1,
            windows,
        }];
        deliver(
            worker,
            &host,
            to_node::Message::RemoteUsage(RemoteUsage { keys }),
        );
    };
    let left = || {
        let meter: Meter = ledger::read(&host, 1).unwrap().0.unwrap();
        meter
            .nearest(&Limits::default().with(Window::Day, Some(10)), NOW)
            .unwrap()
            .remaining
    };
    assert_eq!(left(), 9);
    tell(&mut worker, Kind::Day.into(), day, 4);
    assert_eq!(left(), 5);
    tell(&mut worker, Kind::Day.into(), day, 2);
    tell(&mut worker, Kind::Day.into(), day - 1, 9);
    tell(&mut worker, 77, day, 9);
    assert_eq!(left(), 5, "it only grows, and is of this day");
    tell(&mut worker, Kind::Day.into(), day, 40);
    assert_eq!(left(), 0);
}

#[test]
fn counts_before_the_welcome_end_the_stream() {
    let host = host();
    let mut worker = worker(&host);
    worker.tick(&host, false);
    deliver(
        &mut worker,
        &host,
        to_node::Message::RemoteUsage(RemoteUsage { keys: Vec::new() }),
    );
    assert!(
        host.log
            .borrow()
            .iter()
            .any(|line| line.contains("counts before the welcome")),
        "{:?}",
        host.log.borrow()
    );
}

/// Admits as requests do, while the time goes on.
fn admit_limited(host: &FakeHost, worker: &Worker, slot: u32, limits: &Limits) -> bool {
    let key = latchkey_policy::record::KeyRecord {
        slot,
        number: u64::from(slot) + 100,
        ..test_util::key(KeyDigest::of(b"one"), 1, "one")
    };
    let request = Admission {
        limits,
        enforced: true,
        now: NOW,
        source: || None,
        metered: false,
    };
    worker
        .shared()
        .meters
        .admit(host, &EPOCH, &key, &request)
        .unwrap()
        .unwrap()
        .0
        .admitted()
}

fn in_shared_memory(host: &FakeHost, slot: u32) -> u64 {
    ledger::read(host, slot).unwrap().0.unwrap().requests()[Outcome::Allowed as usize]
}

/// Settles within half a second.
#[test]
fn busy_key_is_counted_locally() {
    let (host, worker) = in_time();
    let limits = Limits::default().with(Window::Day, Some(10_000));
    (0..100).for_each(|_| assert!(admit_limited(&host, &worker, 1, &limits)));
    assert_eq!(in_shared_memory(&host, 1), 2, "those before it was often");
    settle(&host, &worker);
    assert_eq!(in_shared_memory(&host, 1), 100);
    (0..10).for_each(|_| assert!(admit_limited(&host, &worker, 1, &limits)));
    assert_eq!(in_shared_memory(&host, 1), 100, "it has another allowance");
    settle(&host, &worker);
    settle(&host, &worker);
    assert_eq!(in_shared_memory(&host, 1), 110);
    for counted in [111, 112, 112] {
        assert!(admit_limited(&host, &worker, 1, &limits));
        assert_eq!(in_shared_memory(&host, 1), counted, "it has rested");
    }
}

#[test]
fn workers_with_allowances_admit_exactly_the_limit() {
    let (host, worker) = in_time();
    let sibling = host.sibling();
    let other = self::worker(&sibling);
    let limits = Limits::default().with(Window::Day, Some(6_000));
    let all = (0..4_000).map(|_| {
        u32::from(admit_limited(&host, &worker, 1, &limits))
            + u32::from(admit_limited(&sibling, &other, 1, &limits))
    });
    assert_eq!(all.sum::<u32>(), 6_000);
    assert_eq!(in_shared_memory(&host, 1), 6_000);
}

#[test]
fn unsettled_usage_is_settled_later() {
    let (host, worker) = in_time();
    (0..10).for_each(|_| assert!(admit_limited(&host, &worker, 1, &Limits::default())));
    assert_eq!(in_shared_memory(&host, 1), 2);
    host.stubborn.set("set");
    settle(&host, &worker);
    host.stubborn.set("");
    assert_eq!(in_shared_memory(&host, 1), 2);
    settle(&host, &worker);
    assert_eq!(in_shared_memory(&host, 1), 10);
}

#[test]
fn ending_worker_settles_its_counts() {
    let (host, worker) = in_time();
    let limits = Limits::default().with(Window::Day, Some(10_000));
    (0..100).for_each(|_| assert!(admit_limited(&host, &worker, 1, &limits)));
    assert_eq!(in_shared_memory(&host, 1), 2);
    worker.shared().meters.settle(&host);
    drop(worker);
    assert_eq!(in_shared_memory(&host, 1), 100);
    assert_eq!(ledger::marked(&host, 0, 9).unwrap(), [1]);
    let left = ledger::read(&host, 1)
        .unwrap()
        .0
        .unwrap()
        .nearest(&limits, NOW)
        .unwrap()
        .remaining;
    assert_eq!(left, 9_900, "nothing is held");
}
