//! Tests of the counts of other processes, as calculated from sums.

use super::*;

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;

fn count(window: Window, second: i64, count: u32) -> Count {
    Count {
        number: window.number(second),
        count,
    }
}

/// Creates a key with which all processes together admitted `sum` requests on one day.
fn on_a_day(sum: u64) -> KeyCounts {
    let sums = [vec![], vec![], vec![(Window::Day.number(NOW), sum)], vec![]];
    KeyCounts {
        key: 7,
        slot: 2,
        sums,
        processes: Vec::new(),
    }
}

/// Returns the count of that day that a process receives which reported `own`.
fn count_elsewhere(counts: &KeyCounts, own: Option<Count>) -> Option<u32> {
    let elsewhere = counts.remote_usage(&[None, None, own, None], Current::at(NOW))?;
    assert_eq!(
        (
            elsewhere.key,
            elsewhere.slot,
            elsewhere.windows.iter().flatten().count()
        ),
        (7, 2, 1)
    );
    elsewhere.windows[Window::Day as usize].map(|count| count.count)
}

#[test]
fn counts_grow_and_windows_advance_only() {
    let before = Some(Count {
        number: 5,
        count: 3,
    });
    for (number, count, more) in [
        (5, 3, 0),
        (5, 2, 0),
        (5, 4, 1),
        (4, 9, 0),
        (6, 1, 1),
        (6, 0, 0),
    ] {
        assert_eq!(
            Count { number, count }.since(before),
            more,
            "{number} {count}"
        );
    }
    assert_eq!(
        Count {
            number: 1,
            count: 9
        }
        .since(None),
        9
    );
}

#[test]
fn process_gets_the_sum_of_the_others() {
    let counts = on_a_day(23);
    for (own, sum) in [
        (None, Some(23)),
        (Some(count(Window::Day, NOW, 5)), Some(18)),
        // Its own count is from the day before.
        (Some(count(Window::Day, NOW - 86_400, 5)), Some(23)),
        (Some(count(Window::Day, NOW, 23)), None),
    ] {
        assert_eq!(count_elsewhere(&counts, own), sum, "{own:?}");
    }
    assert_eq!(count_elsewhere(&on_a_day(0), None), None);
}

#[test]
fn overflowing_sum_saturates() {
    let counts = on_a_day(u64::from(u32::MAX) + 7);
    assert_eq!(count_elsewhere(&counts, None), Some(u32::MAX));
    assert_eq!(
        count_elsewhere(&counts, Some(count(Window::Day, NOW, 8))),
        Some(u32::MAX - 1)
    );
}

#[test]
fn only_windows_within_clock_skew_count() {
    for (window, second, current) in [
        (Window::Minute, NOW - 60, true),
        (Window::Minute, NOW - 61, false),
        (Window::Minute, NOW + 359, true),
        (Window::Minute, NOW + 360, false),
        // NOW is the start of an hour.
        (Window::Hour, NOW - 1, true),
        (Window::Hour, NOW + 3_600, false),
        (Window::Day, NOW - 86_400, false),
        (Window::Month, NOW, true),
        (Window::Month, NOW + 31 * 86_400, false),
    ] {
        let mut windows = Windows::default();
        windows[window as usize] = Some(count(window, second, 5));
        assert_eq!(
            Current::at(NOW).has_any(&windows),
            current,
            "{window:?} at {}",
            second - NOW
        );
    }
    assert_eq!(Current::at(NOW).stored().len(), 7 + 2 + 1 + 1);
}

fn row(sums: &str, processes: &str) -> Result<KeyCounts, StoreError> {
    KeyCountsRow {
        seq: 7,
        slot: 2,
        sums: sums.to_owned(),
        processes: processes.to_owned(),
    }
    .try_into()
}

#[test]
fn newer_window_counts_within_skew() {
    let now = Window::Minute.number(NOW);
    let sums = format!("[[1,{},9],[1,{now},5],[1,{},4],[4,3,1]]", now - 1, now + 4);
    let counts = row(&sums, "[]").unwrap();
    assert_eq!(counts.sums[0], [(now - 1, 9), (now, 5), (now + 4, 4)]);
    for (number, told) in [
        (None, Some((now, 5))),
        (Some(now), Some((now, 3))),
        (Some(now + 4), Some((now + 4, 2))),
    ] {
        let own = number.map(|number| Count { number, count: 2 });
        let windows = counts
            .remote_usage(&[own, None, None, None], Current::at(NOW))
            .unwrap()
            .windows;
        assert_eq!(
            windows[0].map(|count| (count.number, count.count)),
            told,
            "{number:?}"
        );
    }
}

#[test]
fn processes_are_read_with_any_windows() {
    let counts = row("[]", "[[3,[[7,5],null]],[0,[null,null,null,[1,2],[9,9]]]]").unwrap();
    let count = |number, count| Some(Count { number, count });
    let expected = [
        (3, [count(7, 5), None, None, None]),
        (0, [None, None, None, count(1, 2)]),
    ];
    assert_eq!(counts.processes, expected);
    for damaged in ["", "[[1]]", "{}", "[[0,[[-1,5]]]]"] {
        assert!(
            matches!(row("[]", damaged), Err(StoreError::Damaged(_))),
            "{damaged}"
        );
    }
}
