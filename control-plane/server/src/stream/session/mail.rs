//! What a stream tells its node about usage: that reports are stored, and what other nodes have
//! admitted.

use latchkey_protocol::{Elsewhere, UsageAck, to_node};
use latchkey_store::usage::{self as counts, Current, ElsewherePage};
use tokio::time::{self, Instant};
use tonic::Status;

use super::{End, RESERVED, Session, at};
use crate::nodes::mailbox::{self, Mailbox};
use crate::stream::reports;
use crate::usage::wire;

/// What a mailbox is emptied into at a time: an acknowledgement for each report, and one message
/// about other nodes.
const MAIL: usize = reports::UNACKNOWLEDGED + 1;

impl Session {
    /// Tells what other instances have admitted in the current windows, with some keys behind the
    /// number `after`: of all or of those that the node has `used` itself. Returns behind which key
    /// there may be more.
    pub(super) async fn send_elsewhere(
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
                .elsewhere_page(&instance, used, after, current, mailbox::KEYS)
                .await
        });
        let ElsewherePage { keys, next } = page.await?;
        while !keys.is_empty() && self.outbox.capacity() <= RESERVED {
            self.meanwhile(time::sleep(mailbox::PACE)).await?;
        }
        self.tell_elsewhere(&keys);
        Ok(next)
    }

    /// Tells what is in the mailbox, if there is room for it.
    pub(super) fn deliver(&mut self) -> Result<(), End> {
        self.next_mail = Instant::now() + mailbox::PACE;
        if self.outbox.capacity() < RESERVED + MAIL {
            return Ok(());
        }
        let mail = self.connection.mailbox.take();
        self.reports.acknowledged(mail.acknowledged.len());
        for sequence in mail.acknowledged {
            self.tell(to_node::Message::UsageAck(UsageAck { sequence }));
        }
        self.tell_elsewhere(&mail.elsewhere);
        if mail.missed {
            self.untold = Some(0);
        }
        if mail.failed {
            return Err(Status::unavailable("a report could not be stored").into());
        }
        Ok(())
    }

    fn tell_elsewhere(&mut self, keys: &[counts::Elsewhere]) {
        if !keys.is_empty() {
            let keys = keys.iter().map(wire::key_elsewhere).collect();
            self.tell(to_node::Message::Elsewhere(Elsewhere { keys }));
        }
    }
}

/// Never, before anything may be told.
pub(super) async fn filled(from: Option<Instant>, mailbox: &Mailbox) {
    at(from).await;
    mailbox.filled().await;
}
