//! Workers that come, go, sleep and wake up.

use super::cell::{HEAD_START, IDLE_EXPIRY};
use super::*;
use latchkey_policy::test_util::MemoryCells;

const SECOND: Nanos = 1_000 * MILLISECOND;

fn elected(handle: &mut LeaseHandle, cells: &MemoryCells, now: Nanos) -> Option<u32> {
    match handle.tick(cells, now, Role::Serving).unwrap() {
        LeaseState::Acquired { term, .. } => Some(term),
        _ => None,
    }
}

#[test]
fn first_worker_holds_the_lease_while_renewing() {
    let cells = MemoryCells::default();
    let (mut first, mut second) = (LeaseHandle::default(), LeaseHandle::default());
    assert_eq!(elected(&mut first, &cells, SECOND), Some(1));
    for tick in 1..100 {
        assert_eq!(
            first.tick(&cells, SECOND * tick, Role::Serving),
            Ok(LeaseState::Held)
        );
        assert_eq!(
            second.tick(&cells, SECOND * tick, Role::Serving),
            Ok(LeaseState::Free)
        );
    }
}

/// The lease expires, and the next holder has a higher term.
#[test]
fn dead_holder_is_replaced() {
    let cells = MemoryCells::default();
    let (mut dead, mut next) = (LeaseHandle::default(), LeaseHandle::default());
    assert_eq!(elected(&mut dead, &cells, SECOND), Some(1));
    assert_eq!(
        next.tick(&cells, SECOND + EXPIRY, Role::Serving),
        Ok(LeaseState::Free)
    );
    assert_eq!(elected(&mut next, &cells, SECOND + EXPIRY + 1), Some(2));
    assert_eq!(
        dead.tick(&cells, SECOND + EXPIRY + 2, Role::Serving),
        Ok(LeaseState::Lost)
    );
    assert_eq!(
        dead.tick(&cells, SECOND + EXPIRY + 3, Role::Serving),
        Ok(LeaseState::Free)
    );
}

#[test]
fn returned_lease_is_free_after_the_backoff() {
    let cells = MemoryCells::default();
    let (mut first, mut second) = (LeaseHandle::default(), LeaseHandle::default());
    assert_eq!(elected(&mut first, &cells, SECOND), Some(1));
    assert!(first.release(&cells, SECOND));
    assert_eq!(
        second.tick(&cells, SECOND + FIRST_BACKOFF / 2 - 1, Role::Serving),
        Ok(LeaseState::Free)
    );
    assert_eq!(
        elected(&mut second, &cells, SECOND + FIRST_BACKOFF),
        Some(2)
    );
    assert_eq!(
        first.tick(&cells, SECOND + FIRST_BACKOFF, Role::Serving),
        Ok(LeaseState::Free)
    );
    // A lease of another worker does not change.
    assert!(!first.release(&cells, SECOND + FIRST_BACKOFF));
    assert_eq!(
        second.tick(&cells, SECOND + FIRST_BACKOFF, Role::Serving),
        Ok(LeaseState::Held)
    );
}

#[test]
fn backoff_doubles_to_a_bound_and_resets() {
    let cells = MemoryCells::default();
    let mut handle = LeaseHandle::default();
    let mut now = SECOND;
    let mut waits = Vec::new();
    for _ in 0..8 {
        let failed_at = now;
        while elected(&mut handle, &cells, now).is_none() {
            now += MILLISECOND;
        }
        waits.push((now - failed_at) / MILLISECOND);
        handle.release(&cells, now);
    }
    for (attempt, wait) in waits.iter().enumerate().skip(1) {
        let full = (100 << (attempt - 1)).min(600);
        assert!(
            (full / 2..=full).contains(wait),
            "attempt {attempt} waited {wait} ms"
        );
    }
    now += SECOND;
    assert!(elected(&mut handle, &cells, now).is_some());
    handle.succeed(&cells, now);
    handle.release(&cells, now);
    now += FIRST_BACKOFF;
    assert!(elected(&mut handle, &cells, now).is_some());
}

#[test]
fn clock_set_back_blocks_no_worker() {
    let cells = MemoryCells::default();
    let (mut first, mut second) = (LeaseHandle::default(), LeaseHandle::default());
    assert_eq!(elected(&mut first, &cells, 1000 * SECOND), Some(1));
    assert_eq!(elected(&mut second, &cells, SECOND), Some(2));
    assert_eq!(
        first.tick(&cells, SECOND, Role::Serving),
        Ok(LeaseState::Lost)
    );
    second.release(&cells, 1000 * SECOND);
    assert!(elected(&mut first, &cells, SECOND).is_some());
}

#[test]
fn workers_of_a_process_share_one_instance() {
    let cells = MemoryCells::default();
    let (mut first, mut second) = (LeaseHandle::default(), LeaseHandle::default());
    let Ok(LeaseState::Acquired { instance, .. }) = first.tick(&cells, 7 * SECOND, Role::Serving)
    else {
        panic!()
    };
    first.release(&cells, 8 * SECOND);
    let Ok(LeaseState::Acquired {
        instance: other, ..
    }) = second.tick(&cells, 9 * SECOND, Role::Serving)
    else {
        panic!()
    };
    assert_eq!((instance, other), (7 * SECOND, 7 * SECOND));
}

#[test]
fn a_lease_survives_the_round_trip() {
    let lease = Lease {
        holder: 1,
        term: 2,
        failures: 3,
        renewed_at: 4,
        retry_at: 5,
        workers: 6,
        instance: u64::MAX,
        alive: 7,
        idle_at: 8,
        idle_order: 9,
    };
    assert_eq!(Lease::decode(&lease.encode()), Some(lease));
    assert_eq!(Lease::decode(&lease.encode()[1..]), None);
}

#[test]
fn ending_worker_hands_over_the_lease() {
    let cells = MemoryCells::default();
    let (mut first, mut second) = (LeaseHandle::default(), LeaseHandle::default());
    assert_eq!(elected(&mut first, &cells, SECOND), Some(1));
    assert_eq!(
        second.tick(&cells, SECOND, Role::Serving),
        Ok(LeaseState::Free)
    );
    assert_eq!(first.leave(&cells, SECOND), Some(Left { is_last: false }));
    assert_eq!(first.leave(&cells, SECOND), None, "it has left");
    assert_eq!(elected(&mut second, &cells, SECOND), Some(2));
    assert_eq!(second.leave(&cells, SECOND), Some(Left { is_last: true }));
    let mut third = LeaseHandle::default();
    assert_eq!(elected(&mut third, &cells, SECOND), Some(3));
}

#[test]
fn ending_worker_without_lease_changes_nothing() {
    let cells = MemoryCells::default();
    let (mut first, mut second) = (LeaseHandle::default(), LeaseHandle::default());
    assert_eq!(elected(&mut first, &cells, SECOND), Some(1));
    assert_eq!(
        second.tick(&cells, SECOND, Role::Serving),
        Ok(LeaseState::Free)
    );
    assert_eq!(second.leave(&cells, SECOND), Some(Left { is_last: false }));
    assert_eq!(
        first.tick(&cells, SECOND, Role::Serving),
        Ok(LeaseState::Held)
    );
}

#[test]
fn lease_goes_to_a_worker_without_requests() {
    let cells = MemoryCells::default();
    let (mut busy, mut main) = (LeaseHandle::default(), LeaseHandle::default());
    assert_eq!(elected(&mut busy, &cells, SECOND), Some(1));
    assert_eq!(main.tick(&cells, SECOND, Role::Idle), Ok(LeaseState::Free));
    assert_eq!(
        busy.tick(&cells, SECOND, Role::Idle),
        Ok(LeaseState::Held),
        "it has served none either"
    );
    assert_eq!(
        busy.tick(&cells, SECOND, Role::Serving),
        Ok(LeaseState::Wanted)
    );
    busy.hand_over(&cells, SECOND);
    assert_eq!(
        busy.tick(&cells, SECOND + HEAD_START - 1, Role::Serving),
        Ok(LeaseState::Free)
    );
    let elected = main.tick(&cells, SECOND + HEAD_START - 1, Role::Idle);
    assert!(
        matches!(elected, Ok(LeaseState::Acquired { term: 2, .. })),
        "{elected:?}"
    );
    // Once the idle worker has left, a busy one gets the lease.
    main.leave(&cells, SECOND + HEAD_START).unwrap();
    let later = SECOND + HEAD_START + IDLE_EXPIRY + 1;
    let elected = busy.tick(&cells, later, Role::Serving);
    assert!(
        matches!(elected, Ok(LeaseState::Acquired { term: 3, .. })),
        "{elected:?}"
    );
}

/// Envoy configures the main thread's worker first, which is the last to end.
#[test]
fn first_configured_idle_worker_leads() {
    let cells = MemoryCells::default();
    let [mut main, mut idle, mut late] = [(), (), ()].map(|()| {
        let mut handle = LeaseHandle::default();
        handle.line_up(&cells);
        handle
    });
    let elected =
        |state: Result<LeaseState, CellError>| matches!(state, Ok(LeaseState::Acquired { .. }));
    assert!(elected(late.tick(&cells, SECOND, Role::Idle)));
    assert_eq!(idle.tick(&cells, SECOND, Role::Idle), Ok(LeaseState::Free));
    assert_eq!(
        late.tick(&cells, SECOND, Role::Idle),
        Ok(LeaseState::Wanted)
    );
    late.hand_over(&cells, SECOND);
    assert_eq!(
        main.tick(&cells, SECOND - 1, Role::Idle),
        Ok(LeaseState::Free),
        "it says that it is there"
    );
    assert_eq!(
        idle.tick(&cells, SECOND, Role::Idle),
        Ok(LeaseState::Free),
        "the first has a head start"
    );
    assert_eq!(late.tick(&cells, SECOND, Role::Idle), Ok(LeaseState::Free));
    assert!(elected(main.tick(&cells, SECOND, Role::Idle)));
    for tick in 1..100 {
        let now = SECOND + tick * 100 * MILLISECOND;
        for other in [&mut idle, &mut late] {
            assert_eq!(other.tick(&cells, now, Role::Idle), Ok(LeaseState::Free));
        }
        assert_eq!(main.tick(&cells, now, Role::Idle), Ok(LeaseState::Held));
    }
}

/// This is as when a listener is replaced: its workers leave within moments, and no worker waits
/// for one that has left.
#[test]
fn leaving_worker_has_no_head_start() {
    let cells = MemoryCells::default();
    let [mut old_main, mut old_idle, mut main] = [(), (), ()].map(|()| {
        let mut handle = LeaseHandle::default();
        handle.line_up(&cells);
        handle
    });
    for handle in [&mut old_main, &mut old_idle, &mut main] {
        handle.tick(&cells, SECOND, Role::Idle).unwrap();
    }
    old_main.leave(&cells, SECOND).unwrap();
    assert_eq!(main.tick(&cells, SECOND, Role::Idle), Ok(LeaseState::Free));
    old_idle.leave(&cells, SECOND).unwrap();
    assert!(matches!(
        main.tick(&cells, SECOND, Role::Idle),
        Ok(LeaseState::Acquired { .. })
    ));
}

#[test]
fn worker_without_a_stream_is_only_counted() {
    let cells = MemoryCells::default();
    let (mut unfit, mut last) = (LeaseHandle::default(), LeaseHandle::default());
    assert_eq!(
        unfit.tick(&cells, SECOND, Role::Unfit),
        Ok(LeaseState::Free)
    );
    assert_eq!(elected(&mut last, &cells, SECOND), Some(1));
    assert_eq!(last.leave(&cells, SECOND), Some(Left { is_last: false }));
}
