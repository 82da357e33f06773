//! Messages about usage to a node: acknowledgements of stored reports, and the usage by other
//! nodes.

use latchkey_protocol::{RemoteUsage, UsageAck, to_node};
use latchkey_store::usage::{self as counts, Current, RemoteUsagePage};
use tokio::time::{self, Instant};
use tonic::Status;

use super::{End, RESERVED, Session, sleep_until};
use crate::nodes::mailbox::{self, Mailbox};
use crate::stream::reports;
use crate::usage::wire;

/// The number of messages in one read of the mailbox: an acknowledgement for each report, and one
/// message about other nodes.
const MAX_MAIL: usize = reports::UNACKNOWLEDGED + 1;

impl Session {
    /// Sends other nodes' usage in the current windows, for one page of keys with numbers above
    /// `after`: of all keys, or of those that the node has `used` itself. Returns the number after
    /// which the next page begins, if there is one.
    pub(super) async fn send_remote_usage_page(
        &mut self,
        after: u64,
        used: bool,
    ) -> Result<Option<u64>, End> {
        let (instance, current) = (
            self.reports.meter().to_owned(),
            Current::at(self.shared.clock.now()),
        );

        let page = self.read(async |store| {
            store
                .remote_usage_page(&instance, used, after, current, mailbox::KEYS)
                .await
        });
        let RemoteUsagePage { keys, next } = page.await?;

        while !keys.is_empty() && self.outbox.capacity() <= RESERVED {
            self.serve_while(time::sleep(mailbox::PACE)).await?;
        }
        self.send_remote_usage(&keys);
        Ok(next)
    }

    /// Sends the contents of the mailbox, if the outbox has room.
    pub(super) fn deliver(&mut self) -> Result<(), End> {
        self.next_mail = Instant::now() + mailbox::PACE;
        if self.outbox.capacity() < RESERVED + MAX_MAIL {
            return Ok(());
        }

        let mail = self.connection.mailbox.take();
        self.reports.acknowledged(mail.acknowledged.len());
        for sequence in mail.acknowledged {
            self.try_send(to_node::Message::UsageAck(UsageAck { sequence }));
        }
        self.send_remote_usage(&mail.remote_usage);

        if mail.missed {
            self.usage_after = Some(0);
        }
        if mail.failed {
            return Err(Status::unavailable("a report could not be stored").into());
        }
        Ok(())
    }

    /// Sends other nodes' usage of these keys.
    fn send_remote_usage(&mut self, keys: &[counts::RemoteUsage]) {
        if !keys.is_empty() {
            let keys = keys.iter().map(wire::key_remote_usage).collect();
            self.try_send(to_node::Message::RemoteUsage(RemoteUsage { keys }));
        }
    }
}

/// Resolves when the mailbox has messages, but not before `from`. Without `from`, never resolves.
pub(super) async fn filled(from: Option<Instant>, mailbox: &Mailbox) {
    sleep_until(from).await;
    mailbox.filled().await;
}
