//! The data that verdicts are decided by: Envoy's shared memory as one request sees it, and the
//! request.

use crate::client_address::Forwarded;
use crate::credentials::Credentials;
use crate::headers::RequestHeaders;
use crate::host::{Host, NANOS_PER_SECOND};
use crate::meters::Admission;
use crate::shared::{Ready, Shared};
use latchkey_policy::key::KeyDigest;
use latchkey_policy::limit::Limits;
use latchkey_policy::meter::{Meter, Outcome, Quota};
use latchkey_policy::record::KeyRecord;
use latchkey_policy::settings::SnapshotSettings;
use latchkey_policy::snapshot::{CachedKey, Epoch, Unavailable, View};
use latchkey_policy::verdict::{Credential, Request, Source};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

/// The newest snapshot, and the meters.
pub struct SnapshotSource<'m, H> {
    host: &'m H,
    worker: &'m Shared,
    ready: &'m Ready,
    epoch: Epoch,
    view: RefCell<View<'m>>,
    now: Cell<Option<i64>>,
    /// The key's meter, if the key was refused for another reason than a limit, or if the client
    /// gets headers for each limit.
    meter: Cell<Option<Meter>>,
}

impl<'m, H: Host> SnapshotSource<'m, H> {
    /// Creates the source as of now.
    pub fn new(host: &'m H, worker: &'m Shared, ready: &'m Ready, view: View<'m>) -> Self {
        Self {
            host,
            worker,
            ready,
            epoch: *view.epoch(),
            view: RefCell::new(view),
            now: Cell::new(None),
            meter: Cell::new(None),
        }
    }

    /// Counts a refusal for another reason than a limit.
    pub fn refuse(&self, key: &KeyRecord<'_>, outcome: Outcome) -> Result<(), Unavailable> {
        self.meter.set(
            self.worker
                .meters
                .refuse(self.host, &self.epoch, key, outcome)?,
        );
        Ok(())
    }

    /// Returns the key's meter with this request counted; `None` if it was not needed.
    pub fn meter(&self) -> Option<Meter> {
        self.meter.get()
    }
}

impl<H: Host> Source for SnapshotSource<'_, H> {
    fn settings(&self) -> Result<Rc<SnapshotSettings>, Unavailable> {
        Ok(self
            .view
            .try_borrow()
            .map_err(|_| Unavailable::Host)?
            .settings())
    }

    fn check_staleness(&self) -> Result<(), Unavailable> {
        let sent = self
            .view
            .try_borrow()
            .map_err(|_| Unavailable::Host)?
            .staleness();
        let sent = (sent > 0).then(|| sent.saturating_mul(NANOS_PER_SECOND));

        // The smaller limit holds: the control plane counts this node for no longer than the limit
        // that it was sent.
        match self
            .ready
            .config
            .max_staleness
            .into_iter()
            .chain(sent)
            .min()
        {
            Some(limit) => self.worker.check_staleness(self.host, limit),
            None => Ok(()),
        }
    }

    fn find(&self, digest: &KeyDigest) -> Result<Option<Rc<CachedKey>>, Unavailable> {
        self.view
            .try_borrow_mut()
            .map_err(|_| Unavailable::Host)?
            .find(self.host, digest)
    }

    /// Returns the time of the request, which is the same for its whole life.
    fn now(&self) -> Result<i64, Unavailable> {
        if let Some(now) = self.now.get() {
            return Ok(now);
        }
        let now = self.host.unix_seconds().map_err(|_| Unavailable::Host)?;
        self.now.set(Some(now));
        Ok(now)
    }

    fn admit(
        &self,
        key: &KeyRecord<'_>,
        limits: &Limits,
        enforced: bool,
        now: i64,
    ) -> Result<Option<Quota>, Unavailable> {
        let metered = !limits.is_empty() && self.ready.config.rate_limit_headers.ietf;
        let request = Admission {
            limits,
            enforced,
            now,
            source: || Forwarded::Ignored.client_address(self.host),
            metered,
        };

        let admitted = self
            .worker
            .meters
            .admit(self.host, &self.epoch, key, &request)?;

        Ok(admitted.map(|(quota, meter)| {
            self.meter.set(meter);
            quota
        }))
    }
}

/// The host's current request.
pub struct FilterRequest<'r, H> {
    host: &'r H,
    headers: &'r RequestHeaders,
    credentials: Credentials<'r>,
    forwarded: Forwarded,
}

impl<'r, H: Host> FilterRequest<'r, H> {
    /// Creates the view of a request from the headers that it came with, its client's address
    /// according to them, and the key that it was found to present.
    pub fn new(
        host: &'r H,
        headers: &'r RequestHeaders,
        forwarded: Forwarded,
        credentials: Credentials<'r>,
    ) -> Self {
        Self {
            host,
            headers,
            credentials,
            forwarded,
        }
    }
}

impl<H: Host> Request for FilterRequest<'_, H> {
    fn credential(&self) -> Credential<'_> {
        Credential::Presented(self.credentials.presented())
    }

    fn source_address(&self) -> Option<IpAddr> {
        self.forwarded.client_address(self.host)
    }

    fn header(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Unavailable> {
        Ok(self.headers.get(name))
    }
}
