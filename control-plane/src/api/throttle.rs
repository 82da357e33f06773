//! Guessing passwords: so many wrong ones a minute for an email address, whether there is such a user or not. Beyond
//! that even the right one is refused until the minute is over; sessions that are open stay so. Logins that are being
//! verified at the moment are not counted yet, and `password` bounds their number.

use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Wrong passwords for an address in [`WINDOW_SECONDS`].
const FAILURES: u32 = 10;
/// From the first of them.
const WINDOW_SECONDS: i64 = 60;
/// Addresses that are remembered: more than there is time to verify passwords for in a minute.
const CAPACITY: usize = 10_000;

/// Of an address: it can be long, and need not be kept.
type Digest = [u8; 32];

struct Window {
    began: i64,
    failures: u32,
}

/// Sans-IO: told of the time. Forgets everything with the process.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<Digest, Window>>);

impl Throttle {
    /// Whether a login may be tried now, or in how many seconds it may.
    pub(super) fn admit(&self, email: &str, now: i64) -> Result<(), u32> {
        match self.lock().get(&digest(email)) {
            Some(window) if window.lasts(now) && window.failures >= FAILURES => Err(window.rest(now)),
            _ => Ok(()),
        }
    }

    /// A password was wrong.
    pub(super) fn failed(&self, email: &str, now: i64) {
        let mut windows = self.lock();
        if windows.len() >= CAPACITY {
            windows.retain(|_, window| window.lasts(now));
        }
        let email = digest(email);
        if windows.len() >= CAPACITY && !windows.contains_key(&email) {
            let oldest = windows.iter().min_by_key(|(_, window)| window.began).map(|(email, _)| *email);
            oldest.and_then(|oldest| windows.remove(&oldest));
        }
        let window = windows.entry(email).or_insert(Window { began: now, failures: 0 });
        if !window.lasts(now) {
            *window = Window { began: now, failures: 0 };
        }
        window.failures += 1;
    }

    /// A password was right.
    pub(super) fn succeeded(&self, email: &str) {
        self.lock().remove(&digest(email));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Window>> {
        // Nobody panics while holding it, and every window is whole at all times.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    Sha256::digest(email.trim().to_lowercase()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(throttle: &Throttle, email: &str, now: i64, count: u32) {
        for _ in 0..count {
            throttle.failed(email, now);
        }
    }

    #[test]
    fn an_address_rests_after_too_many_failures_and_is_forgiven_after_a_minute() {
        let throttle = Throttle::default();
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
    fn a_right_password_wipes_the_slate() {
        let throttle = Throttle::default();
        fail(&throttle, "a@x", 100, 9);
        throttle.succeeded("a@x");
        fail(&throttle, "a@x", 100, 9);
        assert_eq!(throttle.admit("a@x", 100), Ok(()));
    }

    #[test]
    fn it_remembers_a_bounded_number_of_addresses_and_forgets_the_oldest_first() {
        let throttle = Throttle::default();
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
