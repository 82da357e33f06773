//! The stream: sends the snapshot, and then every change, to every connected node.
//!
//! `connections` limits the connections, `service` looks up a node's credential with `admission`,
//! and `session` serves the node. `feed` reads each change once for all streams, and
//! `snapshot_cache` the whole snapshot. `reports` passes usage reports to `crate::usage`. The nodes
//! are in `crate::nodes`.

mod admission;
mod batches;
mod connections;
mod contact;
mod feed;
mod reports;
mod service;
mod session;
mod snapshot_cache;
mod window;

use latchkey_model::clock::Clock;
use latchkey_model::secret::NodeToken;
use latchkey_store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::{Error, Server};

use crate::metrics::Metrics;
use crate::nodes::log_limit::LogLimit;
use crate::nodes::registry::Registry;
use crate::stop::Stop;
use crate::usage::ReportCollector;
use admission::Admissions;
use feed::Feed;
pub use feed::FeedHealth;
use service::Service;
use snapshot_cache::SnapshotCache;

/// The time after which a peer that answers no ping is disconnected, and the interval of pings on
/// an idle stream.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// The maximum number of streams of one connection. An Envoy has one for each instance of the
/// filter and format of the records, and two while its code is replaced. If it needs more, it opens
/// another connection.
const STREAMS: u32 = 8;

/// The operator's settings of the stream.
pub(crate) struct StreamSettings {
    /// The token that any node may present, if it is configured.
    pub(crate) shared_token: Option<NodeToken>,
    /// The maximum number of open connections.
    pub(crate) connections: usize,
}

/// Serves nodes until `stop`, which ends every stream. Also returns the health of the feed.
pub(crate) fn serve(
    listener: TcpListener,
    settings: StreamSettings,
    store: Store,
    registry: Registry,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    mut stop: Stop,
) -> (
    FeedHealth,
    impl Future<Output = Result<(), Error>> + Send + 'static,
) {
    let (feed, health) = Feed::start(store.clone(), stop.clone());
    let collector = ReportCollector::start(
        store.clone(),
        registry.clone(),
        clock.clone(),
        metrics.clone(),
        stop.clone(),
    );
    let snapshots = SnapshotCache::new(store.clone(), stop.clone());
    let admissions = Admissions::new(
        store.clone(),
        settings.shared_token,
        clock.clone(),
        metrics.clone(),
    );

    let accepted = connections::accept(listener, settings.connections, stop.clone());
    let shared = Arc::new(session::Shared {
        store,
        registry,
        feed,
        snapshots,
        collector,
        clock,
        metrics,
        refusals: LogLimit::default(),
        stop: stop.clone(),
    });

    tokio::spawn({
        let shared = shared.clone();
        async move { shared.snapshots.run_cleanup().await }
    });
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(Some(STREAMS))
        .add_service(Service::server(shared, admissions))
        .serve_with_incoming_shutdown(accepted, async move { stop.requested().await });
    (health, server)
}
