//! Admissions and reports of limits, the encoding of counters, and their owners.

mod model;

use super::*;
use std::net::Ipv4Addr;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const OWNER: Owner = Owner {
    epoch: *b"abcd",
    key: 7,
};

/// 2024-02-29T23:59:30Z: the last minute of the February of a leap year.
const NOW: i64 = 1_709_251_170;
const HOUR: i64 = 3_600;

fn limits<const N: usize>(limits: [(Window, u32); N]) -> Limits {
    limits
        .into_iter()
        .fold(Limits::default(), |all, (window, limit)| {
            all.with(window, Some(limit))
        })
}

/// Returns the number of `requests` that are admitted.
fn admitted(meter: &mut Meter, limits: &Limits, now: i64, requests: u32) -> usize {
    (0..requests)
        .filter(|_| meter.admit(limits, now).admitted())
        .count()
}

#[test]
fn exactly_the_limit_passes_in_each_window() {
    for window in Window::ALL {
        let (mut meter, limits) = (Meter::new(OWNER), limits([(window, 10)]));
        assert_eq!(admitted(&mut meter, &limits, NOW, 15), 10, "{window:?}");
        let refused = meter.admit(&limits, NOW);
        assert_eq!(
            refused.refused_by,
            Some(Exhausted {
                window,
                limit: 10,
                retry_after: 30
            })
        );
        assert_eq!(
            refused
                .nearest
                .map(|nearest| (nearest.remaining, nearest.reset)),
            Some((0, NOW + 30))
        );
        assert_eq!(admitted(&mut meter, &limits, NOW + 29, 1), 0, "{window:?}");
        assert_eq!(
            admitted(&mut meter, &limits, NOW + 30, 15),
            10,
            "{window:?}"
        );
        assert_eq!(meter.requests(), [20, 0, 0, 0, 0, 0, 0, 12]);
    }
}

#[test]
fn refusing_limit_consumes_no_other() {
    let (mut meter, limits) = (
        Meter::new(OWNER),
        limits([(Window::Minute, 2), (Window::Day, 5)]),
    );
    let mut left = |now| {
        admitted(&mut meter, &limits, now, 100);
        meter
            .remaining(&limits, now)
            .map(|limit| limit.remaining)
            .collect::<Vec<_>>()
    };
    assert_eq!(left(NOW - 120), [0, 3]);
    assert_eq!(left(NOW - 60), [0, 1]);
    assert_eq!(left(NOW), [1, 0]);
}

#[test]
fn retry_after_covers_all_exhausted_windows() {
    let now = NOW - 600;
    let (mut meter, limits) = (
        Meter::new(OWNER),
        limits([(Window::Minute, 1), (Window::Hour, 1), (Window::Month, 2)]),
    );
    assert!(meter.admit(&limits, now).admitted());
    let refused = meter.admit(&limits, now);
    assert_eq!(
        refused.refused_by,
        Some(Exhausted {
            window: Window::Hour,
            limit: 1,
            retry_after: 630
        })
    );
}

/// Both limits have the same number of requests left.
#[test]
fn later_ending_limit_wins_a_tie() {
    let meter = Meter::new(OWNER);
    let nearest = |limits: &Limits, now| meter.nearest(limits, now).map(|nearest| nearest.window);
    assert_eq!(
        nearest(&limits([(Window::Minute, 3), (Window::Hour, 3)]), NOW - 60),
        Some(Window::Hour)
    );
    assert_eq!(
        nearest(&limits([(Window::Minute, 3), (Window::Hour, 3)]), NOW),
        Some(Window::Hour),
        "both end at once"
    );
    assert_eq!(
        nearest(&limits([(Window::Minute, 2), (Window::Hour, 3)]), NOW),
        Some(Window::Minute)
    );
    assert_eq!(nearest(&Limits::default(), NOW), None);
}

#[test]
fn unlimited_requests_are_counted() {
    let mut meter = Meter::new(OWNER);
    assert_eq!(admitted(&mut meter, &Limits::default(), NOW, 3), 3);
    let number = |window: Window| window.number(NOW);
    let expected = Window::ALL.map(|window| (window, number(window), 3));
    assert_eq!(meter.windows().collect::<Vec<_>>(), expected);
    // A limit that is added later begins with the requests that are already counted.
    assert_eq!(
        meter
            .nearest(&limits([(Window::Month, 5)]), NOW)
            .map(|nearest| nearest.remaining),
        Some(2)
    );
    assert_eq!(
        meter
            .nearest(&limits([(Window::Month, 2)]), NOW)
            .map(|nearest| nearest.remaining),
        Some(0)
    );
}

#[test]
fn requests_of_others_consume_a_limit() {
    let (mut meter, limits) = (Meter::new(OWNER), limits([(Window::Day, 10)]));
    let day = Window::Day.number(NOW);
    let mut left = |told: &[(u32, u32)]| {
        told.iter()
            .for_each(|(number, count)| meter.elsewhere(Window::Day, *number, *count, NOW));
        meter
            .admit(&limits, NOW)
            .nearest
            .map(|nearest| nearest.remaining)
    };
    assert_eq!(left(&[]), Some(9));
    assert_eq!(left(&[(day, 4)]), Some(4));
    assert_eq!(left(&[(day, 3), (day - 1, 9)]), Some(3));
    assert_eq!(left(&[(day, u32::MAX)]), Some(0));
    // Another node is in the next day already.
    assert_eq!(left(&[(day + 1, 2)]), Some(7));
    assert_eq!(left(&[(day, 9)]), Some(6));
    assert_eq!(
        meter.windows().last(),
        Some((Window::Month, Window::Month.number(NOW), 5))
    );
}

#[test]
fn clock_set_back_reopens_no_window() {
    let (mut meter, limits) = (Meter::new(OWNER), limits([(Window::Minute, 5)]));
    let midnight = NOW + 30;
    assert_eq!(admitted(&mut meter, &limits, midnight, 9), 5);
    for back in [1, 60, 61, MAX_STEP_BACK] {
        let refused = meter.admit(&limits, midnight - back).refused_by;
        assert_eq!(refused.map(|refused| refused.retry_after), Some(60 + back));
    }
}

#[test]
fn wrong_clock_locks_no_key() {
    let (mut meter, limits) = (Meter::new(OWNER), limits([(Window::Month, 5)]));
    assert_eq!(admitted(&mut meter, &limits, i64::MAX, 9), 5);
    assert_eq!(admitted(&mut meter, &limits, NOW, 9), 5);
    assert_eq!(admitted(&mut meter, &limits, i64::MIN, 9), 5);
    // A wrong clock of another node locks no key either.
    assert_eq!(admitted(&mut meter, &limits, NOW, 9), 5);
    for number in [Window::Month.number(NOW + 400 * 24 * HOUR), u32::MAX] {
        meter.elsewhere(Window::Month, number, 1, NOW);
        assert_eq!(admitted(&mut meter, &limits, NOW, 9), 0);
    }
}

fn used() -> Meter {
    let mut meter = Meter::new(OWNER);
    meter.admit(&Limits::default(), NOW);
    meter.used(1, NOW, || Some(Ipv4Addr::new(192, 0, 2, 1).into()));
    Window::ALL
        .into_iter()
        .for_each(|window| meter.elsewhere(window, window.number(NOW), 9, NOW));
    Outcome::ALL
        .into_iter()
        .for_each(|outcome| meter.count(outcome));
    meter
}

#[test]
fn counters_survive_the_round_trip() {
    let mut meter = Meter::new(OWNER);
    assert_eq!(Meter::decode(&meter.encode()), Ok(meter));
    for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "ffff::"] {
        meter = used();
        for secret in [1, 2] {
            meter.used(secret, NOW + 1, || Some(address.parse().unwrap()));
            assert_eq!(Meter::decode(&meter.encode()), Ok(meter));
        }
        assert_eq!(
            meter
                .last_uses()
                .map(|used| used.secret)
                .collect::<Vec<_>>(),
            [2, 1]
        );
    }
    meter.used(3, i64::MIN, || None);
    assert_eq!(Meter::decode(&meter.encode()), Ok(meter));
    let full = Meter {
        owner: Owner {
            epoch: [0xff; 4],
            key: u64::MAX,
        },
        tallies: [Tally {
            number: u32::MAX,
            here: u32::MAX,
            elsewhere: u32::MAX,
            held: u32::MAX,
        }; 4],
        requests: [u64::MAX; 8],
        last_uses: LastUses([u32::MAX, u32::MAX - 1].map(|secret| {
            Some(LastUse {
                secret,
                at: i64::MAX,
                from: Some("2001:db8::1".parse().unwrap()),
            })
        })),
    };
    assert_eq!(Meter::decode(&full.encode()), Ok(full));
}

#[test]
fn every_damage_is_noticed() {
    let bytes = used().encode();
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        assert_eq!(Meter::decode(&flipped), Err(Damaged), "bit {at}");
        assert_eq!(
            Meter::from_cell(Some(&flipped), OWNER),
            Err(MeterError::Damaged),
            "bit {at}"
        );
    }
    for len in 0..bytes.len() {
        assert_eq!(Meter::decode(&bytes[..len]), Err(Damaged), "{len} bytes");
    }
    assert_eq!(Meter::decode(&[&bytes[..], &[0]].concat()), Err(Damaged));
}

#[test]
fn unknown_format_is_damage() {
    let mut bytes = used().encode();
    bytes[0] += 1;
    let (content, crc) = bytes.split_last_chunk_mut().unwrap();
    *crc = crc32fast::hash(content).to_le_bytes();
    assert_eq!(Meter::decode(&bytes), Err(Damaged));
}

/// Checks also that a cell of a later key is left alone.
#[test]
fn cell_of_an_earlier_owner_restarts() {
    let cell = used().encode();
    let of = |epoch: &[u8; 4], key| Meter::from_cell(Some(&cell), Owner { epoch: *epoch, key });
    let new = |epoch: &[u8; 4], key| Meter::new(Owner { epoch: *epoch, key });
    assert_eq!(of(b"abcd", 7), Ok(used()));
    assert_eq!(of(b"abcd", 8), Ok(new(b"abcd", 8)));
    assert_eq!(of(b"abcd", 6), Err(MeterError::Superseded));
    assert_eq!(of(b"abce", 6), Ok(new(b"abce", 6)));
    assert_eq!(of(b"abce", 7), Ok(new(b"abce", 7)));
    assert_eq!(Meter::from_cell(None, OWNER), Ok(new(b"abcd", 7)));
}

#[test]
fn secrets_share_counts_only() {
    let (mut meter, limits) = (Meter::new(OWNER), limits([(Window::Day, 3)]));
    assert_eq!(meter.last_uses().count(), 0);
    for (secret, now) in [(1, NOW), (2, NOW + 1), (1, NOW + 2)] {
        assert!(meter.admit(&limits, now).admitted());
        meter.used(secret, now, || None);
    }
    assert!(
        !meter.admit(&limits, NOW + 3).admitted(),
        "one limit for both"
    );
    let told: Vec<_> = meter
        .last_uses()
        .map(|used| (used.secret, used.at))
        .collect();
    assert_eq!(told, [(2, NOW + 1), (1, NOW + 2)]);
}

#[test]
fn outcomes_follow_the_order_of_the_protocol() {
    let mut meter = Meter::new(OWNER);
    for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
        assert_eq!(outcome as usize, index);
        (0..=index).for_each(|_| meter.count(outcome));
    }
    assert_eq!(meter.requests(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(Outcome::ALL[0], Outcome::Allowed);
    assert_eq!(Outcome::ALL[7], Outcome::RateLimited);
}
