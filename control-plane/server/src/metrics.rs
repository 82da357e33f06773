//! The metrics of `/metrics`, in the OpenMetrics text format. Each group of metrics is a struct
//! that registers itself.

mod enforcement;
mod http;
mod labels;
mod nodes;
mod store;
mod stream;
mod usage;
pub(crate) mod webhook;

use latchkey_store::Store;
use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::fmt;
use std::hash::Hash;

use enforcement::EnforcementMetrics;
pub use http::HttpMetrics;
pub(crate) use labels::{CredentialKind, RefusedCredential, StreamStart};
pub use labels::{EndpointLabels, ForwardedFor, LoginOutcome, RequestLabels};
use nodes::NodeMetrics;
pub use nodes::NodeTotals;
use store::StoreMetrics;
use stream::StreamMetrics;
use usage::UsageMetrics;
pub use webhook::WebhookMetrics;

/// The values of gauges at the time of a read.
#[derive(Debug, Clone, Copy)]
pub struct GaugeValues {
    /// The newest revision.
    pub revision: u64,
    /// The numbers of nodes.
    pub nodes: NodeTotals,
    /// The oldest revision in force at a node that is connected or was lost within the grace
    /// period, or the newest revision if there is no such node.
    pub slowest_node: u64,
    /// The size of the database and its log, in bytes.
    pub store_bytes: u64,
    /// The number of connections for short reads in use.
    pub readers_busy: u64,
    /// The number of connections for lists and reports in use.
    pub list_readers_busy: u64,
}

/// All metrics. Other modules update the counters; the gauges are set at each read.
pub struct Metrics {
    registry: Registry,
    /// The metrics of the API.
    pub http: HttpMetrics,
    pub(crate) nodes: NodeMetrics,
    store: StoreMetrics,
    pub(crate) stream: StreamMetrics,
    pub(crate) enforcement: EnforcementMetrics,
    pub(crate) usage: UsageMetrics,
    /// The metrics of webhooks.
    pub webhooks: WebhookMetrics,
}

impl Metrics {
    /// Returns the metrics of a control plane on `store`.
    pub(crate) fn new(store: &Store) -> Self {
        let mut registry = Registry::with_prefix("latchkey");
        Self {
            http: HttpMetrics::register(&mut registry),
            nodes: NodeMetrics::register(&mut registry),
            store: StoreMetrics::register(&mut registry, store),
            stream: StreamMetrics::register(&mut registry),
            enforcement: EnforcementMetrics::register(&mut registry),
            usage: UsageMetrics::register(&mut registry),
            webhooks: WebhookMetrics::register(&mut registry),
            registry,
        }
    }

    /// Returns the metrics in the text format.
    pub fn encode(&self, values: &GaugeValues) -> Result<String, fmt::Error> {
        self.nodes.set(values);
        self.store.set(values);
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Exports a metric with each of these labels from the start, as 0 and not as absent.
fn export_zeros<L: Clone + Eq + Hash, M, const N: usize>(family: &Family<L, M>, labels: [L; N]) {
    for label in labels {
        drop(family.get_or_create(&label));
    }
}
