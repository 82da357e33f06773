//! The first message of a stream, and the last.

use super::{End, Session, State};
use crate::host::{Host, Nanos};
use latchkey_policy::ledger;
use latchkey_policy::record::FORMAT;
use latchkey_policy::snapshot;
use latchkey_policy::table::WriteError;
use latchkey_protocol::{Goodbye, Hello, Load, from_node};

/// The messages that this version knows.
const PROTOCOL: u32 = 1;

impl Session {
    /// Returns the message that describes this node and the snapshot that it has.
    pub(super) fn hello(&self, host: &impl Host, now: Nanos) -> Result<Hello, End> {
        let fresh = || host.random().map_err(|_| End::Host);
        let snapshot_secret = snapshot::secret(host, fresh()?).map_err(WriteError::from)?;
        let meter_secret = ledger::secret(host, fresh()?).map_err(WriteError::from)?;

        // The epoch is sent also for a snapshot that is to be replaced: a control plane that does
        // not know the epoch must not replace it.
        let epoch = self
            .writer
            .position()
            .map(|(epoch, _)| epoch.to_vec())
            .unwrap_or_default();
        let (revision, tag) = self
            .offered
            .map(|(_, revision)| (revision, self.writer.tag()))
            .unwrap_or_default();

        Ok(Hello {
            node_id: host.node_id(),
            instance: self.who.instance,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            epoch,
            revision,
            tag: tag.to_vec(),
            snapshot_secret: snapshot_secret.to_vec(),
            meter_secret: meter_secret.to_vec(),
            staleness_seconds: self.staleness,
            unix_millis: now / 1_000_000,
            protocol: PROTOCOL,
            load: self.offered_load.map(|(image, batches)| Load {
                image: image.to_vec(),
                batches,
            }),
        })
    }

    /// Ends the session because the worker ends in order. Reports the remaining counts. If no other
    /// worker of this process is left, it suspends the snapshot, so that no worker decides by it,
    /// and says goodbye. Messages that can no longer be sent are dropped.
    pub fn finish(mut self, host: &impl Host, is_last: bool) {
        let monotonic = host.monotonic().unwrap_or_default();
        if self.state == State::Following
            && ledger::is_reporter(host, self.who.term, monotonic) == Ok(true)
        {
            for usage in self.reporter.last(host, &self.epoch).unwrap_or_default() {
                let _ = self.send(host, from_node::Message::Usage(usage));
            }
            let _ = ledger::stop_reporting(host, self.who.term);
        }

        // Goodbye is sent only after the snapshot is suspended. Should there be another worker
        // after all, it loads the snapshot again.
        if is_last && self.contact.echoes() && self.writer.suspend(host).is_ok() {
            let _ = self.send(host, from_node::Message::Goodbye(Goodbye {}));
        }
    }
}
