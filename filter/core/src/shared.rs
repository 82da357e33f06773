//! State that the requests of one worker share: the configuration, the view of the snapshot, the
//! meters and the open streams.

use crate::config::Config;
use crate::host::{Host, Level, Nanos};
use crate::meters::Meters;
use crate::metrics::Metrics;
use crate::open_streams::OpenStreams;
use latchkey_policy::snapshot::{self, Reader, Unavailable};
use std::cell::{Cell, OnceCell, RefCell, RefMut};

/// The shortest time between two log lines about the same problem.
const COMPLAINT_PAUSE: Nanos = 10_000_000_000;

/// State that the requests of one worker share.
#[derive(Default)]
pub struct Shared {
    ready: OnceCell<Ready>,
    reader: RefCell<Reader>,
    /// The meters that requests are counted in.
    pub meters: Meters,
    /// The open requests that are kept to be checked.
    pub open_streams: OpenStreams,
    complained_at: Cell<Nanos>,
    /// The time at which the snapshot was last known to be the newest, by the monotonic clock, as
    /// of this worker's last look.
    contact: Cell<Option<Nanos>>,
}

/// State that exists once the configuration has been read.
pub struct Ready {
    /// The plugin's configuration.
    pub config: Config,
    /// The metrics, registered with the host.
    pub metrics: Metrics,
    /// The node token; none if the environment does not have it.
    pub token: Option<String>,
}

impl Shared {
    /// Returns the state; `None` before a valid configuration.
    #[inline]
    pub fn ready(&self) -> Option<&Ready> {
        self.ready.get()
    }

    /// Keeps the first configuration that was read. Returns false if there is one already.
    pub fn configure(&self, ready: Ready) -> bool {
        self.ready.set(ready).is_ok()
    }

    /// Returns the worker's reader of the snapshot.
    #[inline]
    pub fn reader(&self) -> Result<RefMut<'_, Reader>, Unavailable> {
        self.reader.try_borrow_mut().map_err(|_| Unavailable::Host)
    }

    /// Fails if the snapshot was last known to be the newest longer than `limit` ago.
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

        // It pays to look again only if the remembered time is too old.
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

    /// Returns the time since any worker last heard from the control plane.
    pub fn snapshot_age(&self, host: &impl Host) -> Option<Nanos> {
        let contact = snapshot::last_contact(host).ok()??;
        Some(host.monotonic().ok()?.saturating_sub(contact))
    }

    /// Reports damage to the worker that can repair it.
    pub fn report_damage(&self, host: &impl Host, unavailable: Unavailable) {
        if unavailable == Unavailable::Damaged {
            // If another worker was faster, it reported the same.
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
