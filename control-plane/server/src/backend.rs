//! The parts of a running control plane that the API works with.

use latchkey_model::clock::Clock;
use latchkey_policy::key::KeyFormat;
use latchkey_store::Store;
use std::sync::Arc;
use std::time::Duration;

use crate::enforcement::{self, Enforcement};
use crate::metrics::Metrics;
use crate::nodes::registry::Registry;
use crate::password::Passwords;
use crate::refused_logins::RefusedLoginCollector;
use crate::stop::Stop;
use crate::stream::FeedHealth;
use crate::webhook::reach::AllowedDestinations;

/// The parts of a running control plane that the API works with, and the API's settings.
pub struct Backend {
    /// The database.
    pub store: Store,
    /// The clock of the process.
    pub clock: Arc<dyn Clock>,
    /// The nodes.
    pub registry: Registry,
    /// The metrics. The API updates some of them.
    pub metrics: Arc<Metrics>,
    /// The health of the feed of changes to nodes.
    pub feed: FeedHealth,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// The refused logins that the audit does not contain yet.
    pub refused_logins: Arc<RefusedLoginCollector>,
    /// The destinations that webhooks may reach.
    pub reach: AllowedDestinations,
    /// The format of new keys.
    pub key_format: KeyFormat,
    /// The limit of a caller's calls a minute; 0 for no limit.
    pub calls_per_minute: u32,
    /// The number of trusted proxies in front of the API.
    pub trusted_hops: usize,
    /// The address at which clients reach Envoy, if known.
    pub gateway: Option<String>,
    pub(crate) stop: Stop,
}

impl Backend {
    /// Returns the enforcement progress of `revision`, after waiting for at most `timeout`.
    pub async fn enforced(&self, revision: u64, timeout: Duration) -> Enforcement {
        enforcement::wait(
            &self.registry,
            &self.metrics,
            self.stop.clone(),
            revision,
            timeout,
        )
        .await
    }
}
