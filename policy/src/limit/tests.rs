//! Windows compared with the plain calendar, and their first and last seconds.

use super::reference::{Calendar, Span};
use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn windows_match_the_calendar_every_day() {
    let calendar = Calendar::new();
    for day in 0..calendar.len() {
        let midnight = i64::from(day) * DAY;
        for now in [
            midnight,
            midnight + 1,
            midnight + 45_296,
            midnight + DAY - 1,
        ] {
            for window in Window::ALL {
                let number = window.number(now);
                let end = window.end(number);
                let begin = end - i64::from(window.seconds(number));
                assert_eq!(
                    Span { number, begin, end },
                    calendar.span(window, now),
                    "{window:?} at {now}"
                );
            }
        }
    }
}

#[test]
fn months_have_their_calendar_lengths() {
    let days = |year: u32, month: u32| Window::Month.seconds(year * 12 + month - 1) / 86_400;
    assert_eq!(
        [2023, 2024, 1900, 2000, 2100, 2400].map(|year| days(year, 2)),
        [28, 29, 28, 29, 28, 29]
    );
    let of_2026: Vec<_> = (1..=12).map(|month| days(2026, month)).collect();
    assert_eq!(of_2026, [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
}

#[test]
fn window_ends_the_second_before_the_next() {
    // 2024-02-29T23:59:59Z.
    let last = 1_709_251_199;
    assert_eq!(Window::Month.number(last), 2024 * 12 + 1);
    for window in Window::ALL {
        let number = window.number(last);
        assert_eq!(window.end(number), last + 1, "{window:?}");
        assert_eq!(window.number(last + 1), number + 1, "{window:?}");
    }
}

#[test]
fn times_beyond_the_calendar_are_clamped() {
    for window in Window::ALL {
        for now in [-1, i64::MIN] {
            assert_eq!(window.number(now), window.number(0), "{window:?}");
        }
        for now in [LAST_SECOND + 1, i64::MAX] {
            assert_eq!(window.number(now), window.number(LAST_SECOND), "{window:?}");
        }
        assert_eq!(
            window.end(window.number(LAST_SECOND)),
            LAST_SECOND + 1,
            "{window:?}"
        );
        // A number from another node may be any.
        assert!(window.end(u32::MAX) > LAST_SECOND);
        assert!(window.seconds(u32::MAX) <= 31 * 86_400);
    }
    assert_eq!(Window::Month.number(LAST_SECOND), 9999 * 12 + 11);
    // 0000-01-01, 1,969 years and 1970 before the epoch: 719,528 days.
    assert_eq!(Window::Month.end(0), (31 - 719_528) * DAY);
    assert_eq!(Window::Month.seconds(0), 31 * 86_400);
}
