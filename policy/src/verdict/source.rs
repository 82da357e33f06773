//! The data that a verdict is decided by.

use crate::key::KeyDigest;
use crate::limit::Limits;
use crate::meter::Quota;
use crate::record::KeyRecord;
use crate::settings::SnapshotSettings;
use crate::snapshot::{CachedKey, Unavailable};
use std::rc::Rc;

/// The data that a verdict is decided by: Envoy's memory in the filter, the control plane's store.
pub trait Source {
    /// Returns the settings of the newest snapshot.
    fn settings(&self) -> Result<Rc<SnapshotSettings>, Unavailable>;

    /// Fails if that snapshot is older than the operator allows.
    fn check_staleness(&self) -> Result<(), Unavailable>;

    /// Returns the key, with its policy compiled for the rules of the [`settings`](Self::settings);
    /// `None` if the key does not exist or has been revoked.
    fn find(&self, digest: &KeyDigest) -> Result<Option<Rc<CachedKey>>, Unavailable>;

    /// Returns the Unix time in seconds.
    fn now(&self) -> Result<i64, Unavailable>;

    /// Takes one request from all of the key's limits, or from none; `None` if the key no longer
    /// exists. If the limits are not `enforced`, the request passes and is counted in any case.
    fn admit(
        &self,
        key: &KeyRecord<'_>,
        limits: &Limits,
        enforced: bool,
        now: i64,
    ) -> Result<Option<Quota>, Unavailable>;
}
