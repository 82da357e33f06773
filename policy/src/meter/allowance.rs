//! Requests that one worker may admit without asking the shared counters about each.
//!
//! A grant to a worker is taken from all windows at once, as `held`, before the worker admits any
//! of it. So no two workers ever admit the same request, and the sum of their admissions is never
//! above a limit. The admitted part and the rest are [settled](Meter::settle) later. A grant is
//! made only while much is left. After that the counters are asked about each request, so that the
//! last one is admitted at whichever worker it arrives.

use super::{LastUses, Meter, Outcome, Quota, Remaining};
use crate::limit::{Limits, Window};
use std::net::IpAddr;

/// The number of remaining requests below which nothing is granted.
const LEAST_REMAINING: u32 = 4096;

/// The divisor for a grant: one in this many of the remaining requests is granted at once.
const PART: u32 = 64;

/// The highest number of requests that is granted at once.
const MOST: u32 = 1024;

/// The requests that were granted to one worker, and those of them that it has admitted.
#[derive(Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The counters from which the grant was taken, each in its window at that time.
    meter: Meter,
    limits: Limits,
    /// The second in which the first of these windows ends.
    until: i64,
    granted: u32,
    admitted: u32,
    /// The limit that was nearest to used up, before any of the grant was admitted.
    nearest: Option<Remaining>,
    last_uses: LastUses,
}

impl Allowance {
    /// Admits a request at `now`, in Unix seconds, if there is one left, and if `limits` and
    /// windows are those of the grant. `from` is called only for the first request in a second.
    pub fn admit(
        &mut self,
        limits: &Limits,
        secret: u32,
        now: i64,
        from: impl FnOnce() -> Option<IpAddr>,
    ) -> Option<Quota> {
        let current = now < self.until
            && Window::Minute.number(now) == self.minute()
            && *limits == self.limits;
        if !current || self.admitted >= self.granted {
            return None;
        }

        self.admitted = self.admitted.saturating_add(1);
        self.last_uses.note(secret, now, from);
        let nearest = self.nearest.map(|nearest| Remaining {
            remaining: nearest.remaining.saturating_sub(self.admitted),
            ..nearest
        });

        Some(Quota {
            nearest,
            refused_by: None,
        })
    }

    /// Settles the allowance, and grants another under the same limits, if there is enough left for
    /// one.
    pub fn renew(&self, meter: &mut Meter, now: i64) -> Option<Self> {
        meter.settle(self);
        meter.grant(&self.limits, now)
    }

    /// Returns the counters as they were when the allowance was granted, with the requests that it
    /// has admitted since.
    pub fn meter(&self) -> Meter {
        let mut meter = self.meter;
        meter.settle(self);
        meter
    }

    fn minute(&self) -> u32 {
        self.meter
            .tallies
            .first()
            .map(|tally| tally.number)
            .unwrap_or_default()
    }
}

impl Meter {
    /// Grants a part of the remaining requests, if there are many.
    pub fn grant(&mut self, limits: &Limits, now: i64) -> Option<Allowance> {
        let nearest = self.nearest(limits, now);
        let granted = match nearest {
            Some(Remaining { remaining, .. }) if remaining < LEAST_REMAINING => return None,
            Some(Remaining { remaining, .. }) => (remaining / PART).min(MOST),
            None => MOST,
        };

        // The clock was set back: until it is in the newest window again, the counters are asked
        // about each request.
        if Window::ALL
            .into_iter()
            .any(|window| self.tally(window, now).number != window.number(now))
        {
            return None;
        }
        for window in Window::ALL {
            let mut tally = self.tally(window, now);
            tally.held = tally.held.saturating_add(granted);
            self.set_tally(window, tally);
        }

        let until = Window::Minute.end(Window::Minute.number(now));
        let last_uses = self.last_uses;

        Some(Allowance {
            meter: *self,
            limits: *limits,
            until,
            granted,
            admitted: 0,
            nearest,
            last_uses,
        })
    }

    /// Takes the grant back, and counts the requests of it that were admitted.
    pub fn settle(&mut self, allowance: &Allowance) {
        let Allowance {
            meter,
            granted,
            admitted,
            last_uses,
            ..
        } = allowance;

        let tallies = self.tallies.iter_mut().zip(&meter.tallies);
        // In a later window the grant was not taken from anything.
        for (tally, _) in tallies.filter(|(tally, taken_from)| tally.number == taken_from.number) {
            tally.held = tally.held.saturating_sub(*granted);
            tally.here = tally.here.saturating_add(*admitted);
        }

        if let Some(requests) = self.requests.get_mut(Outcome::Allowed as usize) {
            *requests = requests.saturating_add((*admitted).into());
        }

        for used in last_uses.iter() {
            // Another worker may have recorded a later use.
            if self
                .last_uses
                .iter()
                .all(|known| known.secret != used.secret || known.at < used.at)
            {
                self.used(used.secret, used.at, || used.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Owner;
    use crate::test_util::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// In the middle of a minute, an hour, a day and a month.
    const NOW: i64 = 1_700_001_030;
    const OWNER: Owner = Owner {
        epoch: [1; 4],
        key: 7,
    };

    fn limits(limit: u32) -> Limits {
        Limits::default()
            .with(Window::Minute, Some(limit))
            .with(Window::Month, Some(limit * 2))
    }

    fn take(allowance: &mut Allowance, limits: &Limits, now: i64) -> bool {
        allowance.admit(limits, 1, now, || None).is_some()
    }

    #[test]
    fn grant_is_reserved_until_settled() {
        let mut meter = Meter::new(OWNER);
        let limits = limits(10_000);
        let left = |meter: &Meter| meter.nearest(&limits, NOW).unwrap().remaining;
        let mut allowance = meter.grant(&limits, NOW).unwrap();
        assert_eq!(left(&meter), 10_000 - 10_000 / PART);
        assert_eq!(
            (0..500)
                .filter(|_| take(&mut allowance, &limits, NOW))
                .count(),
            156,
            "and no more"
        );
        meter.settle(&allowance);
        assert_eq!((left(&meter), meter.requests()[0]), (10_000 - 156, 156));
        assert_eq!(
            meter.windows().map(|(_, _, here)| here).collect::<Vec<_>>(),
            [156; 4]
        );
        let mut allowance = meter.grant(&limits, NOW).unwrap();
        assert!(take(&mut allowance, &limits, NOW));
        meter.settle(&allowance);
        assert_eq!(
            (left(&meter), meter.requests()[0]),
            (10_000 - 157, 157),
            "the rest is given back"
        );
    }

    #[test]
    fn little_remaining_grants_nothing() {
        for (limit, granted) in [(1, false), (1_000, false), (4_095, false), (4_096, true)] {
            assert_eq!(
                Meter::new(OWNER).grant(&limits(limit), NOW).is_some(),
                granted,
                "{limit}"
            );
        }
        assert!(
            Meter::new(OWNER).grant(&Limits::default(), NOW).is_some(),
            "there is no limit"
        );
    }

    #[test]
    fn allowance_reports_remaining_like_the_counters() {
        let (mut meter, mut asked) = (Meter::new(OWNER), Meter::new(OWNER));
        let limits = limits(10_000);
        let mut allowance = meter.grant(&limits, NOW).unwrap();
        for _ in 0..100 {
            assert_eq!(
                allowance.admit(&limits, 1, NOW, || None),
                Some(asked.admit(&limits, NOW))
            );
        }
        meter.settle(&allowance);
        asked.used(1, NOW, || None);
        assert_eq!(meter, asked);
    }

    #[test]
    fn allowance_is_valid_in_its_windows_only() {
        let (mut meter, limits) = (Meter::new(OWNER), limits(10_000));
        let end = Window::Minute.end(Window::Minute.number(NOW));
        let mut allowance = meter.grant(&limits, NOW).unwrap();
        assert!(take(&mut allowance, &limits, end - 1));
        assert!(
            !take(&mut allowance, &limits, end)
                && !take(&mut allowance, &limits, NOW - 60)
                && take(&mut allowance, &limits, NOW)
        );
        // Another window began in the meantime.
        meter.pass(end);
        meter.settle(&allowance);
        let here = meter
            .windows()
            .map(|(window, _, here)| (window, here))
            .collect::<Vec<_>>();
        let later = [
            (Window::Minute, 1),
            (Window::Hour, 3),
            (Window::Day, 3),
            (Window::Month, 3),
        ];
        assert_eq!((here.as_slice(), meter.requests()[0]), (&later[..], 3));
    }

    #[test]
    fn allowance_is_valid_for_its_limits_only() {
        let mut meter = Meter::new(OWNER);
        let mut allowance = meter.grant(&limits(10_000), NOW).unwrap();
        assert!(
            !take(&mut allowance, &limits(9_999), NOW)
                && !take(&mut allowance, &Limits::default(), NOW)
        );
        assert!(take(&mut allowance, &limits(10_000), NOW));
        let mut settled = meter;
        settled.settle(&allowance);
        assert_eq!(allowance.meter(), settled);
    }

    #[test]
    fn clock_set_back_grants_nothing() {
        let mut meter = Meter::new(OWNER);
        meter.pass(NOW);
        assert!(meter.grant(&limits(10_000), NOW - 60).is_none());
        assert!(meter.grant(&limits(10_000), NOW).is_some());
    }

    #[test]
    fn last_use_is_the_later_of_both() {
        let mut meter = Meter::new(OWNER);
        let mut allowance = meter.grant(&Limits::default(), NOW).unwrap();
        let from = Some([192, 0, 2, 1].into());
        assert!(
            allowance
                .admit(&Limits::default(), 2, NOW + 1, || from)
                .is_some()
        );
        assert!(
            allowance
                .admit(&Limits::default(), 2, NOW + 1, || panic!("it is known"))
                .is_some()
        );
        meter.used(1, NOW, || None);
        meter.settle(&allowance);
        let uses: Vec<_> = meter
            .last_uses()
            .map(|used| (used.secret, used.at, used.from))
            .collect();
        assert_eq!(uses, [(2, NOW + 1, from), (1, NOW, None)]);
    }

    /// Workers that are granted some, admit some, and settle at any time, and the counters asked in
    /// between.
    #[test]
    fn together_workers_admit_exactly_the_limit() {
        for seed in 0..20 {
            let mut random = Random(seed);
            let limit = 4_000 + random.below(3_000);
            let (mut meter, limits) = (Meter::new(OWNER), limits(limit));
            let mut workers: [Option<Allowance>; 4] = Default::default();
            let mut admitted = 0;
            for _ in 0..40_000 {
                let worker = &mut workers[random.below(4) as usize];
                let by_itself = worker
                    .as_mut()
                    .is_some_and(|allowance| take(allowance, &limits, NOW));
                if by_itself {
                    admitted += 1;
                } else {
                    worker
                        .take()
                        .iter()
                        .for_each(|allowance| meter.settle(allowance));
                    admitted += u32::from(meter.admit(&limits, NOW).admitted());
                    *worker = meter.grant(&limits, NOW);
                }
                if random.below(50) == 0 {
                    let other = &mut workers[random.below(4) as usize];
                    other
                        .take()
                        .iter()
                        .for_each(|allowance| meter.settle(allowance));
                }
                assert!(admitted <= limit);
            }
            workers
                .iter()
                .flatten()
                .for_each(|allowance| meter.settle(allowance));
            while meter.admit(&limits, NOW).admitted() {
                admitted += 1;
            }
            assert_eq!(
                (admitted, meter.requests()[0]),
                (limit, limit.into()),
                "seed {seed}"
            );
        }
    }
}
