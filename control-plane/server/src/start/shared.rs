//! The state that the servers and the background tasks share, and their starts.

use latchkey_model::clock::Clock;
use latchkey_store::{Store, StoreError};
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::transport;
use tracing::warn;

use super::StartError;
use crate::backend::Backend;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::nodes::registry::Registry;
use crate::password::Passwords;
use crate::refused_logins::{self, RefusedLoginCollector};
use crate::removals;
use crate::stop::Stop;
use crate::stream::{self, FeedHealth, StreamSettings};
use crate::usage::cleanup::RetentionTimes;
use crate::webhook::reach::AllowedDestinations;
use crate::{usage, webhook};

/// The state that the servers and the background tasks share.
pub(super) struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    registry: Registry,
    pub(super) stop: Stop,
}

impl Shared {
    /// Opens the registry of nodes, and creates the metrics.
    pub(super) async fn open(
        config: &Config,
        store: Store,
        clock: Arc<dyn Clock>,
        stop: Stop,
    ) -> Result<Self, StoreError> {
        let metrics = Arc::new(Metrics::new(&store));
        let registry = Registry::open(
            store.clone(),
            clock.clone(),
            metrics.clone(),
            config.stream.node_limits(),
            stop.clone(),
        )
        .await?;

        Ok(Self {
            store,
            clock,
            metrics,
            registry,
            stop,
        })
    }

    /// Prepares the delivery of webhooks, which the returned future performs until the stop.
    pub(super) fn deliveries(
        &self,
        reach: AllowedDestinations,
    ) -> Result<impl Future<Output = ()> + use<>, StartError> {
        webhook::worker::start(
            self.store.clone(),
            self.clock.clone(),
            self.metrics.clone(),
            reach,
            self.stop.clone(),
        )
        .map_err(StartError::Webhooks)
    }

    /// Serves nodes until the stop. Also returns the health of the feed.
    pub(super) fn serve_streams(
        &self,
        listener: TcpListener,
        settings: StreamSettings,
    ) -> (
        FeedHealth,
        impl Future<Output = Result<(), transport::Error>> + Send + 'static + use<>,
    ) {
        if settings.shared_token.is_some() {
            warn!(
                "--node-token (LATCHKEY_NODE_TOKEN) is one token for all Envoys and is \
                 deprecated: create a token for each group of Envoys with `latchkey node-token \
                 create`, then remove this setting"
            );
        }

        stream::serve(
            listener,
            settings,
            self.store.clone(),
            self.registry.clone(),
            self.clock.clone(),
            self.metrics.clone(),
            self.stop.clone(),
        )
    }

    /// Starts the store's periodic checks, which end at the stop.
    pub(super) fn start_store_checks(&self) {
        let mut stop = self.stop.clone();
        self.store
            .start_checks(async move { stop.requested().await });
    }

    /// Starts the tasks that delete old data, which end at the stop.
    pub(super) fn start_cleanup(&self, times: RetentionTimes) {
        let (store, clock, stop) = (&self.store, &self.clock, &self.stop);
        webhook::cleanup::start(store.clone(), clock.clone(), stop.clone());
        removals::start(store.clone(), clock.clone(), stop.clone());
        usage::cleanup::start(store.clone(), clock.clone(), times, stop.clone());
    }

    /// Writes audit entries about refused logins until the stop.
    pub(super) fn write_refused_logins(
        &self,
        collector: Arc<RefusedLoginCollector>,
    ) -> impl Future<Output = ()> + use<> {
        refused_logins::run(
            collector,
            self.store.clone(),
            self.clock.clone(),
            self.stop.clone(),
        )
    }

    /// Returns the parts that the API works with.
    pub(super) fn backend(
        &self,
        config: &Config,
        passwords: Passwords,
        feed: FeedHealth,
        refused_logins: Arc<RefusedLoginCollector>,
    ) -> Backend {
        Backend {
            store: self.store.clone(),
            clock: self.clock.clone(),
            registry: self.registry.clone(),
            metrics: self.metrics.clone(),
            feed,
            passwords,
            refused_logins,
            reach: config.webhook.reach(),
            key_format: config.keys.format.clone(),
            calls_per_minute: config.http.calls_per_minute,
            trusted_hops: config.http.trusted_hops,
            gateway: config.http.gateway_url.clone(),
            stop: self.stop.clone(),
        }
    }
}
