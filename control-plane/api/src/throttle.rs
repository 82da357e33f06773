//! Limits a minute: calls of a caller, and password attempts. Counts are kept only in memory.

use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The length of a window, which starts with its first call.
const WINDOW_SECONDS: i64 = 60;
/// The maximum number of windows: more than passwords can be verified in a minute.
const CAPACITY: usize = 10_000;

/// The digest of a counted name, because names can be long.
type Digest = [u8; 32];

struct Window {
    began: i64,
    count: u32,
}

/// The remaining calls of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// The end of the window, in Unix seconds.
    pub(crate) reset: i64,
    /// The number of seconds to wait, if the limit is exceeded.
    pub(crate) wait: Option<u32>,
}

/// A limit by name. Sans-IO: the time is a parameter.
pub(crate) struct Throttle {
    /// The limit in [`WINDOW_SECONDS`]; 0 for no limit.
    limit: u32,
    windows: Mutex<HashMap<Digest, Window>>,
}

impl Throttle {
    /// Creates a limit a minute; 0 for no limit.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            windows: Mutex::default(),
        }
    }

    /// Counts a call of `who`, unless there were too many. Returns `None` if there is no limit.
    pub(crate) fn take(&self, who: &str, now: i64) -> Option<Quota> {
        if self.limit == 0 {
            return None;
        }
        let mut windows = self.lock();
        let window = Self::window(&mut windows, digest(who), now);
        let wait = (window.count >= self.limit).then(|| window.rest(now));
        window.count = window.count.saturating_add(u32::from(wait.is_none()));
        let remaining = self.limit.saturating_sub(window.count);
        Some(Quota {
            limit: self.limit,
            remaining,
            reset: window.began.saturating_add(WINDOW_SECONDS),
            wait,
        })
    }

    /// Counts an attempt before its outcome is known, so that concurrent attempts cannot exceed the
    /// limit.
    /// Fails with the number of seconds to wait, if there were too many attempts.
    pub(crate) fn begin(&self, who: &str, now: i64) -> Result<Try<'_>, u32> {
        let who = digest(who);
        let mut windows = self.lock();
        match windows.get(&who) {
            Some(window) if window.lasts(now) && window.count >= self.limit => {
                Err(window.rest(now))
            }
            _ => Ok(self.counted(&mut windows, who, now)),
        }
    }

    /// Counts an attempt, even beyond the limit.
    pub(crate) fn count(&self, who: &str, now: i64) -> Try<'_> {
        self.counted(&mut self.lock(), digest(who), now)
    }

    fn counted(&self, windows: &mut HashMap<Digest, Window>, who: Digest, now: i64) -> Try<'_> {
        let window = Self::window(windows, who, now);
        window.count = window.count.saturating_add(1);
        Try {
            throttle: self,
            who,
            began: window.began,
        }
    }

    /// Returns the current window of `who`. At capacity, removes ended windows and if necessary the
    /// oldest one.
    fn window(windows: &mut HashMap<Digest, Window>, who: Digest, now: i64) -> &mut Window {
        if windows.len() >= CAPACITY {
            windows.retain(|_, window| window.lasts(now));
        }
        if windows.len() >= CAPACITY && !windows.contains_key(&who) {
            let oldest = windows
                .iter()
                .min_by_key(|(_, window)| window.began)
                .map(|(who, _)| *who);
            oldest.and_then(|oldest| windows.remove(&oldest));
        }
        let window = windows.entry(who).or_insert(Window {
            began: now,
            count: 0,
        });
        if !window.lasts(now) {
            *window = Window {
                began: now,
                count: 0,
            };
        }
        window
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Window>> {
        // No code panics while it holds the lock, and every window is consistent at all times.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counted attempt. It stays counted when dropped, for example because the client disconnects.
#[must_use = "what becomes of it decides whether it counts"]
pub(crate) struct Try<'a> {
    throttle: &'a Throttle,
    who: Digest,
    began: i64,
}

impl Try<'_> {
    /// Uncounts the attempt: it was successful, or was not made.
    pub(crate) fn withdraw(self) {
        let mut windows = self.throttle.lock();
        if let Some(window) = windows
            .get_mut(&self.who)
            .filter(|window| window.began == self.began)
        {
            window.count = window.count.saturating_sub(1);
            if window.count == 0 {
                windows.remove(&self.who);
            }
        }
    }

    /// Uncounts this attempt and all earlier ones, after a successful attempt.
    pub(crate) fn forgive(self) {
        self.throttle.lock().remove(&self.who);
    }
}

impl Window {
    /// Returns whether the window is current. It also ends if the clock was set back.
    fn lasts(&self, now: i64) -> bool {
        (0..WINDOW_SECONDS).contains(&now.saturating_sub(self.began))
    }

    fn rest(&self, now: i64) -> u32 {
        u32::try_from(
            self.began
                .saturating_add(WINDOW_SECONDS)
                .saturating_sub(now),
        )
        .unwrap_or(1)
    }
}

fn digest(who: &str) -> Digest {
    Sha256::digest(who).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(throttle: &Throttle, who: &str, now: i64, count: u32) {
        for _ in 0..count {
            drop(throttle.count(who, now));
        }
    }

    /// Returns the wait of an attempt in seconds, and withdraws the attempt.
    fn wait(throttle: &Throttle, who: &str, now: i64) -> Option<u32> {
        throttle.begin(who, now).map(Try::withdraw).err()
    }

    #[test]
    fn excess_attempts_wait_for_next_minute() {
        let throttle = Throttle::new(10);
        fail(&throttle, "a", 100, 9);
        assert_eq!(wait(&throttle, "a", 120), None);
        fail(&throttle, "a", 120, 1);
        assert_eq!(wait(&throttle, "a", 120), Some(40));
        assert_eq!(wait(&throttle, "b", 120), None);
        assert_eq!(wait(&throttle, "a", 160), None);
        fail(&throttle, "a", 160, 1);
        assert_eq!(wait(&throttle, "a", 160), None);
    }

    #[test]
    fn tries_in_flight_count() {
        let throttle = Throttle::new(10);
        let mut in_flight: Vec<_> = (0..60).map(|_| throttle.begin("a", 100)).collect();
        assert_eq!(in_flight.iter().filter(|tried| tried.is_ok()).count(), 10);
        in_flight.remove(0).unwrap().withdraw();
        assert_eq!(wait(&throttle, "a", 100), None, "one was not tried");
        in_flight.remove(0).unwrap().forgive();
        assert!(throttle.lock().is_empty(), "one was right");
        drop(in_flight);
        let late = throttle.begin("a", 100).unwrap();
        fail(&throttle, "a", 160, 3);
        late.withdraw();
        assert_eq!(
            throttle.lock().values().next().unwrap().count,
            3,
            "it belongs to a minute that is over"
        );
    }

    #[test]
    fn calls_count_down_then_wait() {
        let throttle = Throttle::new(2);
        let quota = |remaining, wait| {
            Some(Quota {
                limit: 2,
                remaining,
                reset: 160,
                wait,
            })
        };
        assert_eq!(throttle.take("usr_a", 100), quota(1, None));
        assert_eq!(throttle.take("usr_a", 159), quota(0, None));
        assert_eq!(throttle.take("usr_a", 159), quota(0, Some(1)));
        assert_eq!(throttle.take("usr_b", 159).unwrap().remaining, 1);
        assert_eq!(
            throttle.take("usr_a", 160).unwrap(),
            Quota {
                limit: 2,
                remaining: 1,
                reset: 220,
                wait: None
            }
        );
        assert_eq!(Throttle::new(0).take("usr_a", 100), None);
    }

    #[test]
    fn oldest_callers_are_forgotten_first() {
        let throttle = Throttle::new(10);
        fail(&throttle, "old", 100, 10);
        fail(&throttle, "new", 101, 10);
        for n in 0..CAPACITY - 1 {
            fail(&throttle, &n.to_string(), 102, 1);
        }
        assert_eq!(throttle.lock().len(), CAPACITY);
        assert_eq!(
            (wait(&throttle, "new", 102), wait(&throttle, "old", 102)),
            (Some(59), None)
        );
        fail(&throttle, "another", 102, 1);
        fail(&throttle, "later", 500, 1);
        assert_eq!(throttle.lock().len(), 1);
    }
}
