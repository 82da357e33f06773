//! The time at which the snapshot was last known to be the newest.
//!
//! The node sends that it is alive once a second. The control plane sends the node's own time back
//! when everything has been sent that was committed before it received this message. So the contact
//! is the time at which the node asked, and not the one at which an answer came: heartbeats that
//! waited in a socket while this process stood still refresh nothing.

use crate::host::{Host, Nanos};
use latchkey_policy::snapshot;
use latchkey_protocol::Alive;

/// The interval at which the node sends that it is alive.
const PAUSE: Nanos = 1_000_000_000;

/// The interval at which the contact is noted that comes from heartbeats without an echo.
const NOTE_PAUSE: Nanos = 500_000_000;

/// The contact on one stream. All times are the monotonic clock's.
#[derive(Debug, Default)]
pub(super) struct Contact {
    /// True if the control plane answers [`Alive`]; version 0.1 does not.
    echoes: bool,
    first_sent: Nanos,
    last_sent: Option<Nanos>,
    noted_at: Nanos,
}

impl Contact {
    /// Records the protocol version of the control plane.
    pub(super) fn welcome(&mut self, protocol: u32) {
        self.echoes = protocol >= 1;
    }

    /// Returns whether the control plane knows all messages of this version.
    pub(super) fn echoes(&self) -> bool {
        self.echoes
    }

    /// Returns the next `Alive` message, if one is due.
    pub(super) fn next(&mut self, now: Nanos, unix: Nanos) -> Option<Alive> {
        let is_due = self.echoes
            && self
                .last_sent
                .is_none_or(|sent| now.saturating_sub(sent) >= PAUSE);
        is_due.then(|| {
            if self.last_sent.is_none() {
                self.first_sent = now;
            }
            self.last_sent = Some(now);
            Alive {
                sent: now,
                unix_millis: unix / 1_000_000,
            }
        })
    }

    /// Handles a message that the snapshot is the newest. It came at `now`, and answers the message
    /// sent at `echo`. Returns true if that is a contact.
    pub(super) fn note(&mut self, host: &impl Host, now: Nanos, echo: Nanos) -> bool {
        let at = if self.echoes {
            let sent = self
                .last_sent
                .is_some_and(|last| (self.first_sent..=last).contains(&echo));
            if !sent {
                return false;
            }
            echo
        } else {
            now
        };

        if self.echoes || now.saturating_sub(self.noted_at) >= NOTE_PAUSE {
            self.noted_at = now;
            // If another worker was faster, it has heard from the control plane as well.
            let _ = snapshot::note_contact(host, at);
        }
        true
    }
}
