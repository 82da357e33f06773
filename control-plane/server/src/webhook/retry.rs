//! The time of the next attempt of a failed delivery.

/// The delays in seconds after the first attempt, the second, and so on. The last one is repeated.
const DELAYS: [i64; 7] = [5, 30, 2 * 60, 10 * 60, HOUR, 6 * HOUR, 12 * HOUR];

const HOUR: i64 = 3_600;

/// The time from the event, or from the last request to send it again, after which a delivery is
/// given up: a later attempt is not made.
const GIVE_UP_AFTER: i64 = 3 * 24 * HOUR;

/// Returns the time of the next attempt after `attempts` attempts, the last of which failed at
/// `now`, or `None` if the delivery is given up. `jitter` adds up to a fifth of the delay, so that
/// deliveries that failed together are not repeated together.
pub(super) fn next_attempt(attempts: u32, since: i64, now: i64, jitter: u32) -> Option<i64> {
    let delay = DELAYS.get(
        usize::try_from(attempts)
            .unwrap_or(usize::MAX)
            .saturating_sub(1),
    );
    let [.., longest] = DELAYS;
    let delay = *delay.unwrap_or(&longest);
    let next = now
        .saturating_add(delay)
        .saturating_add(i64::from(jitter) % (delay / 5 + 1));

    (next <= since.saturating_add(GIVE_UP_AFTER)).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_for_three_days() {
        let (mut now, mut attempts) = (1_000, 1);
        let mut delays = Vec::new();
        while let Some(next) = next_attempt(attempts, 1_000, now, 0) {
            delays.push(next - now);
            (now, attempts) = (next, attempts + 1);
        }

        assert_eq!(
            delays,
            [
                5, 30, 120, 600, 3_600, 21_600, 43_200, 43_200, 43_200, 43_200, 43_200
            ]
        );
        assert!(now - 1_000 <= GIVE_UP_AFTER);
    }

    #[test]
    fn jitter_delays_by_at_most_a_fifth() {
        let with = |jitter| {
            (0..20)
                .map(|attempts| next_attempt(attempts, 0, 0, jitter).unwrap())
                .collect::<Vec<_>>()
        };
        for jitter in [0, 1, 2, 7, 100, 12_345, u32::MAX] {
            for (delay, least) in with(jitter).into_iter().zip(with(0)) {
                assert!(
                    (least..=least + least / 5).contains(&delay),
                    "{delay} by {jitter}"
                );
            }
        }
    }
}
