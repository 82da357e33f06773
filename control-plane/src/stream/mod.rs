//! The stream: pushes the snapshot, and then every change, to every connected node.
//!
//! `service` looks up a node's credential, with `admission`, and `session` serves it; `feed` reads each change once for all of them, and
//! `images` the whole snapshot; `registry` knows which nodes there are and what they have acknowledged, and `roster` writes down the former. `reports` hands what nodes
//! have counted over to `crate::usage`.

mod admission;
mod batches;
mod contact;
mod feed;
pub(crate) mod hello;
pub(crate) mod identity;
mod images;
pub(crate) mod registry;
mod reports;
mod roster;
mod service;
mod session;
mod window;

use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Error, Server};

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::secret::NodeToken;
use crate::stop::Stop;
use crate::store::Store;
use crate::usage::Collector;
use admission::Admissions;
use feed::Feed;
use images::Images;
use registry::Registry;
use service::Service;

/// A peer that answers no ping for so long is gone; an idle stream is pinged as often.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Serves nodes until `stop`, which ends every stream.
pub(crate) async fn serve(
    listener: TcpListener,
    shared_token: Option<NodeToken>,
    store: Store,
    registry: Registry,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    mut stop: Stop,
) -> Result<(), Error> {
    let feed = Feed::start(store.clone(), stop.clone());
    let collector = Collector::start(store.clone(), registry.clone(), clock.clone(), metrics.clone(), stop.clone());
    let images = Images::new(store.clone(), stop.clone());
    let admissions = Admissions::new(store.clone(), shared_token, clock.clone(), metrics.clone());
    let shared = session::Shared { store, registry, feed, images, collector, clock, metrics, stop: stop.clone() };
    let shared = Arc::new(shared);
    tokio::spawn({
        let shared = shared.clone();
        async move { shared.images.tidy().await }
    });
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(Service::server(shared, admissions))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
            stop.requested().await;
        })
        .await
}
