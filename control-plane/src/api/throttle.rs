//! So much a minute: calls of a caller, and wrong passwords for an email address, whether there is such a user or not, or
//! from a client's address. Beyond that even the right password is refused until the minute is over; sessions that are
//! open stay so. Logins that are being verified at the moment are not counted yet, and `password` bounds their number.

use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::text;

/// From the first on.
const WINDOW_SECONDS: i64 = 60;
/// Of so many it is remembered: more than there is time to verify passwords for in a minute.
const CAPACITY: usize = 10_000;

/// Of an address or an id: it can be long, and need not be kept.
type Digest = [u8; 32];

struct Window {
    began: i64,
    count: u32,
}

/// What is left of what can be done in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// When it is forgotten, in Unix seconds.
    pub(crate) reset: i64,
    /// How many seconds to wait, if this was too much already.
    pub(crate) wait: Option<u32>,
}

/// Sans-IO: told of the time. Forgets everything with the process.
pub(crate) struct Throttle {
    /// In [`WINDOW_SECONDS`]; 0 is no limit.
    limit: u32,
    windows: Mutex<HashMap<Digest, Window>>,
}

impl Throttle {
    /// `limit` in a minute, or as much as anybody likes if that is 0.
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, windows: Mutex::default() }
    }

    /// Takes one call of `who`, unless there were too many. Nothing where there is no limit.
    pub(super) fn take(&self, who: &str, now: i64) -> Option<Quota> {
        if self.limit == 0 {
            return None;
        }
        let mut windows = self.lock();
        let window = Self::window(&mut windows, who, now);
        let wait = (window.count >= self.limit).then(|| window.rest(now));
        window.count = window.count.saturating_add(u32::from(wait.is_none()));
        let remaining = self.limit.saturating_sub(window.count);
        Some(Quota { limit: self.limit, remaining, reset: window.began.saturating_add(WINDOW_SECONDS), wait })
    }

    /// Whether a login may be tried now, or in how many seconds it may.
    pub(super) fn admit(&self, email: &str, now: i64) -> Result<(), u32> {
        match self.lock().get(&digest(email)) {
            Some(window) if window.lasts(now) && window.count >= self.limit => Err(window.rest(now)),
            _ => Ok(()),
        }
    }

    /// A password was wrong.
    pub(super) fn failed(&self, email: &str, now: i64) {
        let mut windows = self.lock();
        let window = Self::window(&mut windows, email, now);
        window.count = window.count.saturating_add(1);
    }

    /// A password was right.
    pub(super) fn succeeded(&self, email: &str) {
        self.lock().remove(&digest(email));
    }

    /// The window of `who` that lasts, with room made for it.
    fn window<'a>(windows: &'a mut HashMap<Digest, Window>, who: &str, now: i64) -> &'a mut Window {
        if windows.len() >= CAPACITY {
            windows.retain(|_, window| window.lasts(now));
        }
        let who = digest(who);
        if windows.len() >= CAPACITY && !windows.contains_key(&who) {
            let oldest = windows.iter().min_by_key(|(_, window)| window.began).map(|(who, _)| *who);
            oldest.and_then(|oldest| windows.remove(&oldest));
        }
        let window = windows.entry(who).or_insert(Window { began: now, count: 0 });
        if !window.lasts(now) {
            *window = Window { began: now, count: 0 };
        }
        window
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Window>> {
        // Nobody panics while holding it, and every window is whole at all times.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// A clock that was set back ends it as well.
    fn lasts(&self, now: i64) -> bool {
        (0..WINDOW_SECONDS).contains(&now.saturating_sub(self.began))
    }

    fn rest(&self, now: i64) -> u32 {
        u32::try_from(self.began.saturating_add(WINDOW_SECONDS).saturating_sub(now)).unwrap_or(1)
    }
}

/// In whatever case, as users are found.
fn digest(email: &str) -> Digest {
    Sha256::digest(text::normalized_email(email)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES: u32 = 10;

    fn fail(throttle: &Throttle, email: &str, now: i64, count: u32) {
        for _ in 0..count {
            throttle.failed(email, now);
        }
    }

    #[test]
    fn an_address_rests_after_too_many_failures_and_is_forgiven_after_a_minute() {
        let throttle = Throttle::new(FAILURES);
        fail(&throttle, "a@x", 100, 9);
        assert_eq!(throttle.admit("a@x", 120), Ok(()));
        fail(&throttle, " A@X", 120, 1);
        assert_eq!(throttle.admit("a@x", 120), Err(40));
        assert_eq!(throttle.admit("b@x", 120), Ok(()));
        assert_eq!(throttle.admit("a@x", 160), Ok(()));
        fail(&throttle, "a@x", 160, 1);
        assert_eq!(throttle.admit("a@x", 160), Ok(()));
    }

    #[test]
    fn calls_are_counted_down_and_then_have_to_wait() {
        let throttle = Throttle::new(2);
        let quota = |remaining, wait| Some(Quota { limit: 2, remaining, reset: 160, wait });
        assert_eq!(throttle.take("usr_a", 100), quota(1, None));
        assert_eq!(throttle.take("usr_a", 159), quota(0, None));
        assert_eq!(throttle.take("usr_a", 159), quota(0, Some(1)));
        assert_eq!(throttle.take("usr_b", 159).unwrap().remaining, 1);
        assert_eq!(throttle.take("usr_a", 160).unwrap(), Quota { limit: 2, remaining: 1, reset: 220, wait: None });
        assert_eq!(Throttle::new(0).take("usr_a", 100), None);
    }

    #[test]
    fn a_right_password_wipes_the_slate() {
        let throttle = Throttle::new(FAILURES);
        fail(&throttle, "a@x", 100, 9);
        throttle.succeeded("a@x");
        fail(&throttle, "a@x", 100, 9);
        assert_eq!(throttle.admit("a@x", 100), Ok(()));
    }

    #[test]
    fn it_remembers_a_bounded_number_of_addresses_and_forgets_the_oldest_first() {
        let throttle = Throttle::new(FAILURES);
        fail(&throttle, "old", 100, FAILURES);
        fail(&throttle, "new", 101, FAILURES);
        for n in 0..CAPACITY - 1 {
            fail(&throttle, &n.to_string(), 102, 1);
        }
        assert_eq!(throttle.lock().len(), CAPACITY);
        assert_eq!((throttle.admit("old", 102), throttle.admit("new", 102)), (Ok(()), Err(59)));
        fail(&throttle, "later", 500, 1);
        assert_eq!(throttle.lock().len(), 1);
    }
}
