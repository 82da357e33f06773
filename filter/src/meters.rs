//! What this worker counts, in the memory that all workers share.

use crate::host::Host;
use latchkey_policy::ledger;
use latchkey_policy::limit::Limits;
use latchkey_policy::meter::{Meter, Outcome, Owner, Quota};
use latchkey_policy::record::KeyRecord;
use latchkey_policy::snapshot::{Epoch, Unavailable};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The meters, as one worker changes them.
#[derive(Debug, Default)]
pub struct Meters {
    /// Slots that this worker has changed and not yet said so.
    changed: RefCell<BTreeSet<u32>>,
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
}

impl Meters {
    /// Takes a request from all limits of a key, or from none; returns the meter as well. `None` if the key is no
    /// more.
    pub fn admit<S: Fn() -> Option<IpAddr>>(
        &self,
        host: &impl Host,
        epoch: &Epoch,
        key: &KeyRecord<'_>,
        request: &Admission<'_, S>,
    ) -> Result<Option<(Quota, Meter)>, Unavailable> {
        let Admission { limits, enforced, now, source } = request;
        let address = OnceCell::new();
        self.change(host, epoch, key, |meter| {
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
            (quota, *meter)
        })
    }

    /// Counts a refusal for another reason than a limit.
    pub fn refuse(
        &self,
        host: &impl Host,
        epoch: &Epoch,
        key: &KeyRecord<'_>,
        outcome: Outcome,
    ) -> Result<Option<Meter>, Unavailable> {
        self.change(host, epoch, key, |meter| {
            meter.count(outcome);
            *meter
        })
    }

    fn change<T>(
        &self,
        host: &impl Host,
        epoch: &Epoch,
        key: &KeyRecord<'_>,
        change: impl FnMut(&mut Meter) -> T,
    ) -> Result<Option<T>, Unavailable> {
        let changed = ledger::change(host, key.slot, Owner::of(epoch, key.number), change)?;
        if let Ok(mut slots) = self.changed.try_borrow_mut() {
            slots.insert(key.slot);
        }
        Ok(changed)
    }

    /// Tells whoever reports what has changed.
    pub fn flush(&self, host: &impl Host) {
        let Ok(mut changed) = self.changed.try_borrow_mut() else { return };
        let slots: Vec<_> = changed.iter().copied().collect();
        // What could not be said is said at the next tick.
        if ledger::mark(host, &slots).is_ok() {
            changed.clear();
        }
    }
}
