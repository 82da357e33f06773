//! What the requests of one worker share: the configuration, the view of the snapshot, the meters
//! and the open streams.

use crate::config::Config;
use crate::host::{Host, Level, Nanos};
use crate::meters::Meters;
use crate::metrics::Metrics;
use crate::open_streams::OpenStreams;
use latchkey_policy::snapshot::{self, Reader, Unavailable};
use std::cell::{Cell, OnceCell, RefCell, RefMut};

/// Least time between two log lines about the same trouble.
const COMPLAINT_PAUSE: Nanos = 10_000_000_000;

/// What the requests of one worker share.
#[derive(Default)]
pub struct Shared {
    ready: OnceCell<Ready>,
    reader: RefCell<Reader>,
    /// What requests are counted by.
    pub meters: Meters,
    /// Requests that are still open, as far as they are kept.
    pub open_streams: OpenStreams,
    complained_at: Cell<Nanos>,
    /// When the snapshot was last known to be the newest, by the monotonic clock, as far as this
    /// worker has looked.
    contact: Cell<Option<Nanos>>,
}

/// What there is once the configuration has been read.
pub struct Ready {
    /// The plugin's configuration.
    pub config: Config,
    /// Defined metrics.
    pub metrics: Metrics,
    /// The node token; none if the environment does not have it.
    pub token: Option<String>,
}

impl Shared {
    /// Nothing, before a valid configuration.
    pub fn ready(&self) -> Option<&Ready> {
        self.ready.get()
    }

    /// Keeps the first configuration that was read; false if there is one already.
    pub fn configure(&self, ready: Ready) -> bool {
        self.ready.set(ready).is_ok()
    }

    /// The worker's view of the snapshot.
    pub fn reader(&self) -> Result<RefMut<'_, Reader>, Unavailable> {
        self.reader.try_borrow_mut().map_err(|_| Unavailable::Host)
    }

    /// Fails when the snapshot was not known to be the newest for longer than `limit`.
    pub fn check_staleness(&self, host: &impl Host, limit: Nanos) -> Result<(), Unavailable> {
        let fresh = |contact: Nanos, now: Nanos| now.abs_diff(contact) <= limit;
        let now = host.monotonic().map_err(|_| Unavailable::Host)?;
        if self
            .contact
            .get()
            .is_some_and(|contact| fresh(contact, now))
        {
            return Ok(());
        }
        // Only when what is known is too old does it pay to look again.
        self.contact.set(snapshot::last_contact(host)?);
        if self
            .contact
            .get()
            .is_some_and(|contact| fresh(contact, now))
        {
            Ok(())
        } else {
            Err(Unavailable::Stale)
        }
    }

    /// How long ago the control plane was last heard from, as far as any worker knows.
    pub fn snapshot_age(&self, host: &impl Host) -> Option<Nanos> {
        let contact = snapshot::last_contact(host).ok()??;
        Some(host.monotonic().ok()?.saturating_sub(contact))
    }

    /// Reports damage to the worker that can mend it.
    pub fn report_damage(&self, host: &impl Host, unavailable: Unavailable) {
        if unavailable == Unavailable::Damaged {
            // If another worker was faster, it said the same.
            let _ = snapshot::report_damage(host);
        }
    }

    /// Logs that requests cannot be decided, but not for each of them. Damage is reported each
    /// time.
    pub fn complain(&self, host: &impl Host, unavailable: Unavailable) {
        self.report_damage(host, unavailable);
        let now = host.now().unwrap_or_default();
        if now.abs_diff(self.complained_at.get()) <= COMPLAINT_PAUSE {
            return;
        }
        self.complained_at.set(now);
        host.log(
            Level::Warn,
            &format!("refusing requests with not_ready: {unavailable}"),
        );
    }
}
