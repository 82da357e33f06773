//! What `/metrics` tells, in the OpenMetrics text format.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::fmt;

/// From a millisecond to the longest wait.
const ENFORCEMENT_SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// From a millisecond to what keeps other writers waiting for too long.
const COMMIT_SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The route is the pattern, never the path: a path can hold anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Request {
    pub(crate) route: String,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

/// How a stream began.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Snapshot {
    kind: &'static str,
}

impl Snapshot {
    pub(crate) const FULL: Self = Self { kind: "full" };
    pub(crate) const RESUMED: Self = Self { kind: "resumed" };
}

/// All of them. Parts count on their own; the gauges are set when they are read.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<Request, Counter>,
    pub(crate) batches: Counter,
    pub(crate) batch_bytes: Counter,
    pub(crate) snapshots: Family<Snapshot, Counter>,
    pub(crate) enforcement: Histogram,
    pub(crate) unenforced: Counter,
    pub(crate) usage_reports: Counter,
    pub(crate) usage_keys: Counter,
    pub(crate) usage_commits: Histogram,
    nodes_connected: Gauge,
    revision: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("latchkey"),
            requests: Family::default(),
            batches: Counter::default(),
            batch_bytes: Counter::default(),
            snapshots: Family::default(),
            enforcement: Histogram::new(ENFORCEMENT_SECONDS),
            unenforced: Counter::default(),
            usage_reports: Counter::default(),
            usage_keys: Counter::default(),
            usage_commits: Histogram::new(COMMIT_SECONDS),
            nodes_connected: Gauge::default(),
            revision: Gauge::default(),
        };
        for kind in [Snapshot::FULL, Snapshot::RESUMED] {
            // Zero is told as zero, not as absent.
            drop(metrics.snapshots.get_or_create(&kind));
        }
        let registry = &mut metrics.registry;
        registry.register("http_requests", "Requests answered by the API", metrics.requests.clone());
        registry.register("nodes_connected", "Nodes with an open stream", metrics.nodes_connected.clone());
        registry.register("revision", "Newest committed revision", metrics.revision.clone());
        registry.register("stream_batches", "Batches sent to nodes", metrics.batches.clone());
        registry.register("stream_bytes", "Bytes of records in batches sent to nodes", metrics.batch_bytes.clone());
        registry.register("stream_snapshots", "Streams begun, by what they began with", metrics.snapshots.clone());
        registry.register(
            "enforcement_seconds",
            "Time from a committed change until every counted node had acknowledged it",
            metrics.enforcement.clone(),
        );
        registry.register(
            "enforcement_timeouts",
            "Changes that not every counted node had acknowledged when their caller was answered",
            metrics.unenforced.clone(),
        );
        registry.register("usage_reports", "Reports of usage taken in", metrics.usage_reports.clone());
        registry.register("usage_keys", "Keys in reports of usage taken in", metrics.usage_keys.clone());
        registry.register(
            "usage_commit_seconds",
            "Time that it took to write some reports of usage down, in one transaction",
            metrics.usage_commits.clone(),
        );
        metrics
    }

    /// The exposition.
    pub(crate) fn encode(&self, revision: u64, nodes_connected: usize) -> Result<String, fmt::Error> {
        self.revision.set(revision.cast_signed());
        self.nodes_connected.set(i64::try_from(nodes_connected).unwrap_or(i64::MAX));
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
