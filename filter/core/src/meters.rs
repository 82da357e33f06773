//! The counts of this worker's requests, in the memory that all workers share.
//!
//! A key that is used often and has much of its limits left is counted in this worker for half a
//! second: the worker has an [`Allowance`] of it, which it settles then, and renews as long as the
//! key is used often. All other keys are counted in shared memory, request by request.

use crate::host::Host;
use latchkey_policy::ledger;
use latchkey_policy::limit::Limits;
use latchkey_policy::meter::{Allowance, Meter, Outcome, Owner, Quota};
use latchkey_policy::record::KeyRecord;
use latchkey_policy::snapshot::{Epoch, Unavailable};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The number of allowances that a worker may have at a time. A tick settles a part of them, which
/// takes about a millisecond.
const MAX_ALLOWANCES: usize = 4096;

/// The number of ticks between two settlements of a key.
const TURNS: u32 = 5;

/// The number of requests between two settlements from which on a key is used often. The change of
/// the shared counters that admits the last of these requests grants the allowance as well.
const OFTEN: u32 = 2;

/// The meters, as changed by one worker.
#[derive(Debug, Default)]
pub struct Meters {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Keys that were used since their last settlement, or the one before, by their slots.
    recent: BTreeMap<u32, Recent>,
    /// The number of these keys that may have an allowance.
    allowances: usize,
    /// The remainder of the slots that are settled at this tick: a slot's number modulo `TURNS`.
    turn: u32,
}

/// The worker's record of a key that was used lately.
#[derive(Debug)]
struct Recent {
    owner: Owner,
    allowance: Option<Allowance>,
    /// The number of requests since the last settlement.
    uses: u32,
    /// True if the meter in shared memory has changed and has not been marked.
    changed: bool,
    /// True if the key was used often before that.
    often: bool,
}

/// A request that only limits can still refuse.
#[derive(Debug)]
pub struct Admission<'a, S> {
    /// The key's limits.
    pub limits: &'a Limits,
    /// True if the limits refuse requests.
    pub enforced: bool,
    /// The time, in Unix seconds.
    pub now: i64,
    /// Returns the client's address; called once a second.
    pub source: S,
    /// True if the caller needs the meter.
    pub metered: bool,
}

impl Meters {
    /// Takes a request from all limits of a key, or from none. Returns the meter as well, if the
    /// caller needs it. `None` if the key no longer exists.
    pub fn admit<S: Fn() -> Option<IpAddr>>(
        &self,
        host: &impl Host,
        epoch: &Epoch,
        key: &KeyRecord<'_>,
        request: &Admission<'_, S>,
    ) -> Result<Option<(Quota, Option<Meter>)>, Unavailable> {
        let Admission {
            limits,
            enforced,
            now,
            source,
            metered,
        } = request;

        let owner = Owner::new(epoch, key.number);

        let mut state = self.state.try_borrow_mut().map_err(|_| Unavailable::Host)?;
        let State {
            recent, allowances, ..
        } = &mut *state;
        let here = recent.entry(key.slot).or_insert_with(|| Recent::new(owner));
        if here.owner != owner {
            *here = Recent::new(owner);
        }

        here.uses = here.uses.saturating_add(1);

        if *enforced
            && let Some(allowance) = &mut here.allowance
            && let Some(quota) = allowance.admit(limits, key.secret, *now, source)
        {
            return Ok(Some((quota, metered.then(|| allowance.meter()))));
        }

        let had_allowance = here.allowance.is_some();
        let may_grant = had_allowance || *allowances < MAX_ALLOWANCES;
        let admitted = here.admit_shared(host, key, request, may_grant)?;
        if here.allowance.is_some() && !had_allowance {
            *allowances = allowances.saturating_add(1);
        }

        Ok(admitted)
    }

    /// Counts a refusal for another reason than a limit.
    pub fn refuse(
        &self,
        host: &impl Host,
        epoch: &Epoch,
        key: &KeyRecord<'_>,
        outcome: Outcome,
    ) -> Result<Option<Meter>, Unavailable> {
        let owner = Owner::new(epoch, key.number);
        let changed = ledger::change(host, key.slot, owner, |meter| {
            meter.count(outcome);
            *meter
        })?;
        if let Ok(mut state) = self.state.try_borrow_mut() {
            let here = state
                .recent
                .entry(key.slot)
                .or_insert_with(|| Recent::new(owner));
            here.changed = true;
        }
        Ok(changed)
    }

    /// Settles some of the requests that were admitted here, and marks the changed meters for the
    /// worker that reports. Call it at every tick.
    pub fn flush(&self, host: &impl Host) {
        let Ok(mut state) = self.state.try_borrow_mut() else {
            return;
        };
        let State {
            recent,
            allowances,
            turn,
        } = &mut *state;

        *turn = turn.wrapping_add(1) % TURNS;
        let now = host.unix_seconds().ok();
        for (slot, here) in recent.iter_mut().filter(|(slot, _)| *slot % TURNS == *turn) {
            here.often = here.uses >= OFTEN;
            here.settle(host, *slot, now);
            here.uses = 0;
        }

        mark(host, recent);

        recent.retain(|_, here| {
            here.allowance.is_some() || here.changed || here.often || here.uses > 0
        });

        *allowances = recent
            .values()
            .filter(|here| here.allowance.is_some())
            .count();
    }

    /// Settles all requests that were admitted here: those that are not settled are lost with the
    /// VM.
    pub fn settle(&self, host: &impl Host) {
        let Ok(mut state) = self.state.try_borrow_mut() else {
            return;
        };
        state
            .recent
            .iter_mut()
            .for_each(|(slot, here)| here.settle(host, *slot, None));
        mark(host, &mut state.recent);
    }
}

/// Marks the changed meters for the next report. If that fails, they are marked the next time.
fn mark(host: &impl Host, recent: &mut BTreeMap<u32, Recent>) {
    let changed: Vec<_> = recent
        .iter()
        .filter(|(_, here)| here.changed)
        .map(|(slot, _)| *slot)
        .collect();
    if ledger::mark(host, &changed).is_ok() {
        recent.values_mut().for_each(|here| here.changed = false);
    }
}

impl Recent {
    /// Creates the record of a key that has not been used.
    #[inline]
    fn new(owner: Owner) -> Self {
        Self {
            owner,
            allowance: None,
            uses: 0,
            changed: false,
            often: false,
        }
    }

    /// Takes a request from the limits in shared memory, and settles the allowance with it. If
    /// `may_grant`, a key that is used often gets another allowance.
    fn admit_shared<S: Fn() -> Option<IpAddr>>(
        &mut self,
        host: &impl Host,
        key: &KeyRecord<'_>,
        request: &Admission<'_, S>,
        may_grant: bool,
    ) -> Result<Option<(Quota, Option<Meter>)>, Unavailable> {
        let Admission {
            limits,
            enforced,
            now,
            source,
            metered,
        } = request;

        let settled = self.allowance.take();
        let grants = *enforced && may_grant && (self.often || self.uses >= OFTEN);
        let address = OnceCell::new();

        let changed = ledger::change(host, key.slot, self.owner, |meter| {
            settled.iter().for_each(|allowance| meter.settle(allowance));
            let quota = if *enforced {
                meter.admit(limits, *now)
            } else {
                let quota = meter.quota(limits, *now);
                meter.pass(*now);
                quota
            };
            if quota.admitted() || !enforced {
                meter.used(key.secret, *now, || *address.get_or_init(source));
            }
            let before_grant = metered.then_some(*meter);
            let granted = if grants {
                meter.grant(limits, *now)
            } else {
                None
            };
            (quota, before_grant, granted)
        });

        let changed = match changed {
            Ok(changed) => changed,
            Err(unavailable) => {
                // The allowance has not been settled, unless there is nothing left to settle it
                // with.
                self.allowance = settled;
                return Err(unavailable);
            }
        };

        self.changed = true;

        Ok(changed.map(|(quota, meter, granted)| {
            self.allowance = granted;
            (quota, meter)
        }))
    }

    /// Settles the allowance, and takes another for a key that is used often. Without the time
    /// (`now`) it takes none.
    fn settle(&mut self, host: &impl Host, slot: u32, now: Option<i64>) {
        let Some(allowance) = &self.allowance else {
            return;
        };
        let again = now.filter(|_| self.often);
        let settled = ledger::change(host, slot, self.owner, |meter| match again {
            Some(now) => allowance.renew(meter, now),
            None => {
                meter.settle(allowance);
                None
            }
        });

        match settled {
            // The allowance stays, and is settled at its next turn.
            Err(Unavailable::Host) => return,
            Ok(Some(renewed)) => self.allowance = renewed,
            Ok(None) | Err(_) => self.allowance = None,
        }

        self.changed = true;
    }
}
