//! The metrics of `/metrics`, in the OpenMetrics text format.

mod labels;
pub mod webhook;

use latchkey_store::{COMMIT_SECONDS, Store};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub(crate) use labels::{CredentialKind, RefusedCredential, Snapshot};
pub use labels::{Endpoint, ForwardedFor, LoginOutcome, Request};
use webhook::WebhookMetrics;

/// The buckets of enforcement times, from a millisecond to the longest wait.
const ENFORCEMENT_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// The buckets of request times. They are few, because each route and method has its own. Calls
/// that wait for nodes take long.
const REQUEST_SECONDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Numbers of nodes, for metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeTotals {
    /// The number of nodes with a stream that are served.
    pub connected: usize,
    /// The number of nodes without a stream that may be serving.
    pub lost: usize,
    /// The number of nodes whose snapshot's epoch is not accepted.
    pub waiting: usize,
    /// True if nodes that the database does not know may be serving.
    pub unknown: bool,
    /// The largest difference of a connected node's clock, in milliseconds.
    pub clock_skew: u64,
}

/// The values of gauges at the time of a read.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The newest revision.
    pub revision: u64,
    /// The numbers of nodes.
    pub nodes: NodeTotals,
    /// The oldest revision in force at a node that is connected or was lost within the grace
    /// period, or the newest revision if there is no such node.
    pub slowest_node: u64,
    /// The size of the database and its log.
    pub store_bytes: u64,
    /// The number of connections for short reads in use.
    pub readers_busy: u64,
    /// The number of connections for lists and reports in use.
    pub list_readers_busy: u64,
}

/// All metrics. Other modules update the counters; the gauges are set at each read.
pub struct Metrics {
    registry: Registry,
    /// The requests of the API, by route, method and status.
    pub requests: Family<Request, Counter>,
    /// The durations of requests, by route and method.
    pub request_seconds: Family<Endpoint, Histogram, fn() -> Histogram>,
    /// The logins, by outcome.
    pub logins: Family<LoginOutcome, Counter>,
    /// The requests whose `X-Forwarded-For` does not match the setting.
    pub forwarded_for: Family<ForwardedFor, Counter>,
    pub(crate) batches: Counter,
    pub(crate) batch_bytes: Counter,
    pub(crate) snapshots: Family<Snapshot, Counter>,
    pub(crate) credentials: Family<CredentialKind, Gauge>,
    pub(crate) refused_credentials: Family<RefusedCredential, Counter>,
    pub(crate) history_mismatches: Counter,
    pub(crate) waiting_streams: Counter,
    pub(crate) refused_formats: Counter,
    pub(crate) nodes_merged: Counter,
    pub(crate) node_limit_refusals: Counter,
    pub(crate) usage_held_back: Counter,
    pub(crate) enforcement: Histogram,
    pub(crate) unenforced: Counter,
    pub(crate) usage_reports: Counter,
    pub(crate) usage_keys: Counter,
    pub(crate) usage_commits: Histogram,
    /// The metrics of webhooks.
    pub webhooks: WebhookMetrics,
    nodes_connected: Gauge,
    nodes_lost: Gauge,
    nodes_waiting: Gauge,
    nodes_unknown: Gauge,
    clock_skew: Gauge<f64, AtomicU64>,
    nodes_lag: Gauge,
    revision: Gauge,
    store_bytes: Gauge,
    readers_busy: Gauge,
    list_readers_busy: Gauge,
}

impl Metrics {
    /// Returns the metrics of a control plane on `store`.
    pub(crate) fn new(store: &Store) -> Self {
        let mut registry = Registry::with_prefix("latchkey");
        let mut metrics = Self {
            webhooks: WebhookMetrics::register(&mut registry),
            registry,
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            logins: Family::default(),
            forwarded_for: Family::default(),
            batches: Counter::default(),
            batch_bytes: Counter::default(),
            snapshots: Family::default(),
            credentials: Family::default(),
            refused_credentials: Family::default(),
            history_mismatches: Counter::default(),
            waiting_streams: Counter::default(),
            refused_formats: Counter::default(),
            nodes_merged: Counter::default(),
            node_limit_refusals: Counter::default(),
            usage_held_back: Counter::default(),
            enforcement: Histogram::new(ENFORCEMENT_SECONDS),
            unenforced: Counter::default(),
            usage_reports: Counter::default(),
            usage_keys: Counter::default(),
            usage_commits: Histogram::new(COMMIT_SECONDS),
            nodes_connected: Gauge::default(),
            nodes_lost: Gauge::default(),
            nodes_waiting: Gauge::default(),
            nodes_unknown: Gauge::default(),
            clock_skew: Gauge::default(),
            nodes_lag: Gauge::default(),
            revision: Gauge::default(),
            store_bytes: Gauge::default(),
            readers_busy: Gauge::default(),
            list_readers_busy: Gauge::default(),
        };
        for kind in [Snapshot::FULL, Snapshot::RESUMED] {
            // Exports zero as 0, not as absent.
            drop(metrics.snapshots.get_or_create(&kind));
        }
        for kind in [CredentialKind::TOKEN, CredentialKind::SHARED] {
            drop(metrics.credentials.get_or_create(&kind));
        }
        for outcome in [
            LoginOutcome::ACCEPTED,
            LoginOutcome::REFUSED,
            LoginOutcome::THROTTLED,
            LoginOutcome::BUSY,
        ] {
            drop(metrics.logins.get_or_create(&outcome));
        }
        for problem in [ForwardedFor::IGNORED, ForwardedFor::MISSING] {
            drop(metrics.forwarded_for.get_or_create(&problem));
        }
        for reason in [RefusedCredential::TOKEN, RefusedCredential::NODE_ID] {
            drop(metrics.refused_credentials.get_or_create(&reason));
        }
        let registry = &mut metrics.registry;
        registry.register(
            "http_requests",
            "Requests answered by the API",
            metrics.requests.clone(),
        );
        registry.register(
            "http_request_seconds",
            "Duration of API requests, including the time waited for nodes",
            metrics.request_seconds.clone(),
        );
        registry.register("logins", "Logins by outcome", metrics.logins.clone());
        registry.register(
            "forwarded_for_mismatches",
            "Requests whose X-Forwarded-For does not match the setting trusted-hops",
            metrics.forwarded_for.clone(),
        );
        registry.register(
            "nodes_connected",
            "Nodes with an open stream",
            metrics.nodes_connected.clone(),
        );
        registry.register(
            "nodes_lost",
            "Nodes without a stream that may still be serving",
            metrics.nodes_lost.clone(),
        );
        registry.register(
            "nodes_waiting",
            "Nodes that hold a snapshot of another database whose epoch is not accepted",
            metrics.nodes_waiting.clone(),
        );
        registry.register(
            "nodes_unknown",
            "1 while nodes that the database does not know may be serving, else 0",
            metrics.nodes_unknown.clone(),
        );
        registry.register(
            "node_clock_skew_seconds_max",
            "Largest difference between a connected node's clock and the control plane's",
            metrics.clock_skew.clone(),
        );
        registry.register(
            "node_format_refusals",
            "Streams refused because the node cannot read the current record format",
            metrics.refused_formats.clone(),
        );
        registry.register(
            "nodes_merged",
            "Lost nodes that count as unknown because there were too many nodes",
            metrics.nodes_merged.clone(),
        );
        registry.register(
            "node_limit_refusals",
            "Streams refused because too many nodes were connected",
            metrics.node_limit_refusals.clone(),
        );
        registry.register(
            "streams_waiting",
            "Streams of nodes that hold a snapshot of another database whose epoch was not \
             accepted",
            metrics.waiting_streams.clone(),
        );
        registry.register(
            "history_mismatches",
            "Nodes that held a revision unknown to this database and loaded a full snapshot",
            metrics.history_mismatches.clone(),
        );
        registry.register(
            "usage_held_back",
            "Usage reports with future windows or from nodes with a wrong clock, which no limit \
             counts",
            metrics.usage_held_back.clone(),
        );
        registry.register(
            "nodes_lag_revisions_max",
            "Revisions by which the slowest node that is connected or was lost within the grace \
             lags behind the newest",
            metrics.nodes_lag.clone(),
        );
        registry.register(
            "revision",
            "Newest committed revision",
            metrics.revision.clone(),
        );
        registry.register(
            "store_write_seconds",
            "Duration for which each change's transaction blocked other writers of the database",
            store.write_seconds(),
        );
        registry.register(
            "store_bytes",
            "Size of the database and its log",
            metrics.store_bytes.clone(),
        );
        registry.register(
            "store_readers_busy",
            "Connections for short reads in use",
            metrics.readers_busy.clone(),
        );
        registry.register(
            "store_list_readers_busy",
            "Connections for lists and reports in use",
            metrics.list_readers_busy.clone(),
        );
        registry.register(
            "store_interrupted_reads",
            "Lists and reports that exceeded their time budget",
            store.interrupted_reads(),
        );
        registry.register(
            "stream_batches",
            "Batches sent to nodes",
            metrics.batches.clone(),
        );
        registry.register(
            "stream_bytes",
            "Bytes of records in batches sent to nodes",
            metrics.batch_bytes.clone(),
        );
        registry.register(
            "stream_snapshots",
            "Streams started, by their first message to the node",
            metrics.snapshots.clone(),
        );
        registry.register(
            "node_streams",
            "Open streams, by the kind of credential",
            metrics.credentials.clone(),
        );
        registry.register(
            "node_token_refusals",
            "Streams refused because of their node token",
            metrics.refused_credentials.clone(),
        );
        registry.register(
            "enforcement_seconds",
            "Time from a committed change until every counted node had acknowledged it",
            metrics.enforcement.clone(),
        );
        registry.register(
            "enforcement_timeouts",
            "Changes that not every counted node had acknowledged when the call returned",
            metrics.unenforced.clone(),
        );
        registry.register(
            "usage_reports",
            "Usage reports received",
            metrics.usage_reports.clone(),
        );
        registry.register(
            "usage_keys",
            "Keys in received usage reports",
            metrics.usage_keys.clone(),
        );
        registry.register(
            "usage_commit_seconds",
            "Duration of the transactions that store usage reports",
            metrics.usage_commits.clone(),
        );
        metrics
    }

    /// Returns the metrics in the text format.
    pub fn encode(&self, now: &Moment) -> Result<String, fmt::Error> {
        self.revision.set(now.revision.cast_signed());
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.nodes_connected.set(gauge(now.nodes.connected));
        self.nodes_lost.set(gauge(now.nodes.lost));
        self.nodes_waiting.set(gauge(now.nodes.waiting));
        self.nodes_unknown.set(i64::from(now.nodes.unknown));
        self.clock_skew
            .set(Duration::from_millis(now.nodes.clock_skew).as_secs_f64());
        self.nodes_lag
            .set(now.revision.saturating_sub(now.slowest_node).cast_signed());
        self.store_bytes.set(now.store_bytes.cast_signed());
        self.readers_busy.set(now.readers_busy.cast_signed());
        self.list_readers_busy
            .set(now.list_readers_busy.cast_signed());
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
