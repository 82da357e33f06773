//! Counters compared with a plain model: a list of all events, which is counted again for every
//! question.

use super::*;
use crate::limit::reference::Calendar;
use crate::test_util::Random;
use std::collections::BTreeMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// An event in a window of one kind, with that window's first second.
struct Event {
    begin: i64,
    /// The count from other nodes; `None` is one request that was admitted here.
    elsewhere: Option<u32>,
}

/// All events, by window.
struct Model<'a> {
    calendar: &'a Calendar,
    events: [Vec<Event>; 4],
}

impl Model<'_> {
    /// Returns the first and the last second of the window that counts, and the used part of it. It
    /// is the window of the newest event, if that window has begun and not ended, or begins soon.
    /// Then it has all events since the last one that was of another window.
    fn used(&self, window: Window, now: i64) -> (i64, i64, u64) {
        let current = self.calendar.span(window, now);
        let events = &self.events[window as usize];
        let soon = now + MAX_STEP_BACK;
        let newest = events
            .last()
            .map(|event| event.begin)
            .filter(|begin| (current.begin..=soon).contains(begin));
        let begin = newest.unwrap_or(current.begin);
        let of_it: Vec<_> = events
            .iter()
            .rev()
            .take_while(|event| event.begin == begin)
            .collect();
        let here = of_it
            .iter()
            .filter(|event| event.elsewhere.is_none())
            .count();
        let elsewhere = of_it
            .iter()
            .filter_map(|event| event.elsewhere)
            .max()
            .unwrap_or(0);
        (
            begin,
            self.calendar.span(window, begin).end,
            here as u64 + u64::from(elsewhere),
        )
    }

    fn remaining(&self, limits: &Limits, now: i64) -> Vec<(Window, u32, u32, i64)> {
        let state = |window: Window| {
            let (limit, (_, end, used)) = (limits.get(window)?, self.used(window, now));
            let remaining = u64::from(limit).saturating_sub(used);
            Some((window, limit, u32::try_from(remaining).unwrap(), end))
        };
        Window::ALL.into_iter().filter_map(state).collect()
    }

    /// Returns whether all limits admit a request, and if so, adds it to each window.
    fn admit(&mut self, limits: &Limits, now: i64) -> bool {
        let admitted = self
            .remaining(limits, now)
            .iter()
            .all(|(_, _, remaining, _)| *remaining > 0);
        for window in Window::ALL.into_iter().filter(|_| admitted) {
            let (begin, ..) = self.used(window, now);
            self.events[window as usize].push(Event {
                begin,
                elsewhere: None,
            });
        }
        admitted
    }

    /// Adds a count from other nodes for the window that `then` is in.
    fn elsewhere(&mut self, window: Window, then: i64, count: u32, now: i64) {
        let (begin, told) = (
            self.used(window, now).0,
            self.calendar.span(window, then).begin,
        );
        if told == begin || (begin..=now + MAX_SKEW).contains(&told) {
            self.events[window as usize].push(Event {
                begin: told,
                elsewhere: Some(count),
            });
        }
    }
}

/// Returns the next moment: mostly a little later, often around the end of a window, sometimes
/// earlier, rarely nonsense.
fn step(random: &mut Random, calendar: &Calendar, now: i64) -> i64 {
    let about = |random: &mut Random, moment: i64| moment - 3 + i64::from(random.below(6));
    let next = match random.below(20) {
        0..=8 => now,
        9..=12 => now + i64::from(random.below(20)),
        13 => now - i64::from(random.below(100)),
        14 => now - i64::from(random.below(1_100)),
        15..=17 => {
            let end = calendar.span(*random.pick(&Window::ALL), now).end;
            about(random, end)
        }
        18 => {
            about(random, calendar.span(Window::Month, now).end)
                + i64::from(random.below(3)) * 24 * HOUR
        }
        _ => match random.below(4) {
            0 => i64::from(random.below(u32::MAX)),
            1 => now + MAX_SKEW,
            2 => now - MAX_STEP_BACK,
            _ => now - MAX_STEP_BACK - 1,
        },
    };
    // In the years that the plain calendar has, with a year to spare.
    next.clamp(400 * 24 * HOUR, 4_294_967_295)
}

#[test]
fn random_requests_match_a_full_recount() {
    let calendar = Calendar::new();
    for seed in 0..300 {
        let mut random = Random(seed);
        let random_limits = |random: &mut Random| {
            let some = |random: &mut Random| (random.below(2) == 0).then(|| 1 + random.below(12));
            Window::ALL
                .into_iter()
                .fold(Limits::default(), |limits, window| {
                    limits.with(window, some(random))
                })
        };
        let (mut meter, mut limits) = (Meter::new(OWNER), random_limits(&mut random));
        let mut model = Model {
            calendar: &calendar,
            events: Default::default(),
        };
        // The time at which each secret was used last; a secret that is added later has a higher
        // number.
        let (mut secrets, mut newest, mut last_used) = (BTreeMap::new(), 1, None);
        let (mut now, mut allowed, mut limited) = (NOW - 90, 0, 0);
        for _ in 0..120 {
            now = step(&mut random, &calendar, now);
            match random.below(12) {
                0 => limits = random_limits(&mut random),
                1 | 2 => {
                    let window = *random.pick(&Window::ALL);
                    let then = step(&mut random, &calendar, now);
                    let count = random.below(8);
                    meter.elsewhere(window, calendar.span(window, then).number, count, now);
                    model.elsewhere(window, then, count, now);
                }
                _ => {
                    let told = meter.quota(&limits, now);
                    let quota = meter.admit(&limits, now);
                    assert_eq!(quota, told);
                    assert_eq!(
                        quota.admitted(),
                        model.admit(&limits, now),
                        "seed {seed} at {now}"
                    );
                    *(if quota.admitted() {
                        &mut allowed
                    } else {
                        &mut limited
                    }) += 1;
                    newest += u32::from(random.below(8) == 0);
                    let secret = newest.saturating_sub(random.below(3)).max(1);
                    if quota.admitted() {
                        meter.used(secret, now, || None);
                        secrets.insert(secret, now);
                        last_used = Some(secret);
                    }
                    assert_eq!(quota.nearest, meter.nearest(&limits, now));
                    // The requests that are left, and the end of the window.
                    let expected = model
                        .remaining(&limits, now)
                        .into_iter()
                        .map(|limit| (limit.2, limit.3));
                    let expected =
                        expected.min_by_key(|(remaining, end)| (*remaining, Reverse(*end)));
                    let nearest = quota
                        .nearest
                        .map(|nearest| (nearest.remaining, nearest.reset));
                    assert_eq!(nearest, expected, "seed {seed} at {now}");
                    if let Some(refused) = quota.refused_by {
                        assert_eq!(
                            expected,
                            Some((0, now + refused.retry_after)),
                            "seed {seed} at {now}"
                        );
                        assert!(refused.retry_after >= 1);
                    }
                }
            }
            let state =
                |limit: Remaining| (limit.window, limit.limit, limit.remaining, limit.reset);
            let remaining: Vec<_> = meter.remaining(&limits, now).map(state).collect();
            assert_eq!(
                remaining,
                model.remaining(&limits, now),
                "seed {seed} at {now}"
            );
            let told: BTreeMap<_, _> = meter
                .last_uses()
                .map(|used| (used.secret, used.at))
                .collect();
            // These are the uses of the newest secret, of the one used last, and if these are the
            // same, of another one.
            assert_eq!(told.len(), secrets.len().min(2), "seed {seed} at {now}");
            assert!(
                told.iter()
                    .all(|(secret, at)| secrets.get(secret) == Some(at)),
                "seed {seed} at {now}: {told:?}"
            );
            assert_eq!(
                told.last_key_value(),
                secrets.last_key_value(),
                "seed {seed} at {now}"
            );
            assert!(
                last_used.is_none_or(|secret| told.contains_key(&secret)),
                "seed {seed} at {now}: {told:?}"
            );
            assert_eq!(meter.requests(), [allowed, 0, 0, 0, 0, 0, 0, limited]);
            // Only the cell is kept between two requests.
            meter = Meter::from_cell(Some(&meter.encode()), OWNER).unwrap();
        }
    }
}
