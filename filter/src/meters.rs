//! What this worker counts, in the memory that all workers share.
//!
//! A key that is used often and has much of its limits left is counted here for half a second: the
//! worker has an [`Allowance`] of it, which it settles then, and which is renewed as long as the
//! key is used often. All others are counted in shared memory, request by request.

use crate::host::Host;
use latchkey_policy::ledger;
use latchkey_policy::limit::Limits;
use latchkey_policy::meter::{Allowance, Meter, Outcome, Owner, Quota};
use latchkey_policy::record::KeyRecord;
use latchkey_policy::snapshot::{Epoch, Unavailable};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Allowances at a time. A tick settles a part of them, which takes about a millisecond.
const MAX_ALLOWANCES: usize = 4096;

/// A key's turn to be settled comes once in so many ticks.
const TURNS: u32 = 5;

/// So many requests from one turn to the next are often: the change of the shared counters by which
/// the last of them is admitted grants the allowance as well.
const OFTEN: u32 = 2;

/// The meters, as one worker changes them.
#[derive(Debug, Default)]
pub struct Meters {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By slots: those of keys that were used since their last turn, or the one before.
    recent: BTreeMap<u32, Recent>,
    /// How many of them may have an allowance.
    allowances: usize,
    /// Whose turn it is: that of each slot whose number leaves this when divided by `TURNS`.
    turn: u32,
}

/// What a worker remembers of a key that was used lately.
#[derive(Debug)]
struct Recent {
    owner: Owner,
    allowance: Option<Allowance>,
    /// Since the last turn.
    uses: u32,
    /// Whether the meter in shared memory has changed and has not been marked.
    changed: bool,
    /// Whether it was used often before that.
    often: bool,
}

/// A request that nothing but limits can refuse any more.
#[derive(Debug)]
pub struct Admission<'a, S> {
    /// The key's.
    pub limits: &'a Limits,
    /// Whether they refuse anything.
    pub enforced: bool,
    /// Unix seconds.
    pub now: i64,
    /// Where it came from; asked once a second.
    pub source: S,
    /// Whether the meter is asked for.
    pub metered: bool,
}

impl Meters {
    /// Takes a request from all limits of a key, or from none; returns the meter as well, if it is
    /// asked for. `None` if the key is no more.
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
        let owner = Owner::of(epoch, key.number);
        let mut state = self.state.try_borrow_mut().map_err(|_| Unavailable::Host)?;
        let State {
            recent, allowances, ..
        } = &mut *state;
        let here = recent.entry(key.slot).or_insert_with(|| Recent::of(owner));
        if here.owner != owner {
            *here = Recent::of(owner);
        }
        here.uses = here.uses.saturating_add(1);
        if *enforced
            && let Some(allowance) = &mut here.allowance
            && let Some(quota) = allowance.admit(limits, key.secret, *now, source)
        {
            return Ok(Some((quota, metered.then(|| allowance.meter()))));
        }
        let settled = here.allowance.take();
        let room = settled.is_some() || *allowances < MAX_ALLOWANCES;
        let grants = *enforced && room && (here.often || here.uses >= OFTEN);
        let address = OnceCell::new();
        let changed = ledger::change(host, key.slot, owner, |meter| {
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
            (
                quota,
                before_grant,
                if grants {
                    meter.grant(limits, *now)
                } else {
                    None
                },
            )
        });
        let changed = match changed {
            Ok(changed) => changed,
            Err(unavailable) => {
                // It has not been settled, unless there is nothing any more to settle it with.
                here.allowance = settled;
                return Err(unavailable);
            }
        };
        here.changed = true;
        Ok(changed.map(|(quota, meter, granted)| {
            if granted.is_some() && settled.is_none() {
                *allowances = allowances.saturating_add(1);
            }
            here.allowance = granted;
            (quota, meter)
        }))
    }

    /// Counts a refusal for another reason than a limit.
    pub fn refuse(
        &self,
        host: &impl Host,
        epoch: &Epoch,
        key: &KeyRecord<'_>,
        outcome: Outcome,
    ) -> Result<Option<Meter>, Unavailable> {
        let owner = Owner::of(epoch, key.number);
        let changed = ledger::change(host, key.slot, owner, |meter| {
            meter.count(outcome);
            *meter
        })?;
        if let Ok(mut state) = self.state.try_borrow_mut() {
            let here = state
                .recent
                .entry(key.slot)
                .or_insert_with(|| Recent::of(owner));
            here.changed = true;
        }
        Ok(changed)
    }

    /// Settles some of what was admitted here, and tells whoever reports what has changed. Call it
    /// at every tick.
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

    /// Settles all that was admitted here: what is not settled goes with the VM.
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

/// What could not be said is said the next time.
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
    fn of(owner: Owner) -> Self {
        Self {
            owner,
            allowance: None,
            uses: 0,
            changed: false,
            often: false,
        }
    }

    /// Settles the allowance, and takes another for a key that is used often; none, if there is no
    /// telling the time.
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
            // It stays, and is settled at its next turn.
            Err(Unavailable::Host) => return,
            Ok(Some(renewed)) => self.allowance = renewed,
            Ok(None) | Err(_) => self.allowance = None,
        }
        self.changed = true;
    }
}
