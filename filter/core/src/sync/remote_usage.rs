//! Counts of requests that other nodes have admitted.

use super::End;
use crate::host::Host;
use crate::report::window_of;
use latchkey_policy::ledger;
use latchkey_policy::meter::Owner;
use latchkey_policy::snapshot::{Epoch, Unavailable};
use latchkey_policy::table::WriteError;
use latchkey_protocol::KeyRemoteUsage;

/// The highest number of keys whose counts are pending until their history is in force. If there
/// are more, some are sent again only when they are used elsewhere.
const MAX_PENDING: usize = 200_000;

/// Counts from other nodes for a history that is not in force yet.
#[derive(Debug, Default)]
pub(super) struct PendingUsage(Vec<KeyRemoteUsage>);

impl PendingUsage {
    /// Keeps counts for later.
    pub(super) fn hold(&mut self, keys: Vec<KeyRemoteUsage>) {
        let room = MAX_PENDING.saturating_sub(self.0.len());
        self.0.extend(keys.into_iter().take(room));
    }

    /// Counts the pending requests, as their history is now in force.
    pub(super) fn release(&mut self, host: &impl Host, epoch: &Epoch) -> Result<(), End> {
        count(host, epoch, &std::mem::take(&mut self.0))
    }
}

/// Counts the requests that other nodes have admitted in the meters.
pub(super) fn count(host: &impl Host, epoch: &Epoch, keys: &[KeyRemoteUsage]) -> Result<(), End> {
    if keys.is_empty() {
        return Ok(());
    }

    let now = host.unix_seconds().map_err(|_| End::Unreachable)?;
    for key in keys {
        let changed = ledger::change(host, key.slot, Owner::new(epoch, key.key), |meter| {
            for count in &key.windows {
                if let Some(window) = window_of(count) {
                    meter.elsewhere(window, count.number, count.count, now);
                }
            }
        });
        match changed {
            // A meter that could not be trusted has been reset; it gets the counts the next time.
            Ok(_) | Err(Unavailable::Counters) => {}
            Err(_) => return Err(End::Memory(WriteError::Host)),
        }
    }

    Ok(())
}
