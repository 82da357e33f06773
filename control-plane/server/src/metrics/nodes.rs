//! The metrics of nodes.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::GaugeValues;

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

/// The nodes that count, and those that are refused.
#[derive(Default)]
pub(crate) struct NodeMetrics {
    connected: Gauge,
    lost: Gauge,
    waiting: Gauge,
    unknown: Gauge,
    clock_skew: Gauge<f64, AtomicU64>,
    lag: Gauge,
    pub(crate) format_refusals: Counter,
    pub(crate) merged: Counter,
    pub(crate) limit_refusals: Counter,
}

impl NodeMetrics {
    /// Creates the metrics in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.register_gauges(registry);
        registry.register(
            "node_format_refusals",
            "Streams refused because the node cannot read the current record format",
            metrics.format_refusals.clone(),
        );
        registry.register(
            "nodes_merged",
            "Lost nodes that count as unknown because there were too many nodes",
            metrics.merged.clone(),
        );
        registry.register(
            "node_limit_refusals",
            "Streams refused because too many nodes were connected",
            metrics.limit_refusals.clone(),
        );

        metrics
    }

    fn register_gauges(&self, registry: &mut Registry) {
        registry.register(
            "nodes_connected",
            "Nodes with an open stream",
            self.connected.clone(),
        );
        registry.register(
            "nodes_lost",
            "Nodes without a stream that may still be serving",
            self.lost.clone(),
        );
        registry.register(
            "nodes_waiting",
            "Nodes that hold a snapshot of another database whose epoch is not accepted",
            self.waiting.clone(),
        );
        registry.register(
            "nodes_unknown",
            "1 while nodes that the database does not know may be serving, else 0",
            self.unknown.clone(),
        );
        registry.register(
            "node_clock_skew_seconds_max",
            "Largest difference between a connected node's clock and the control plane's",
            self.clock_skew.clone(),
        );
        registry.register(
            "nodes_lag_revisions_max",
            "Revisions by which the slowest node that is connected or was lost within the grace \
             lags behind the newest",
            self.lag.clone(),
        );
    }

    /// Sets the gauges.
    pub(super) fn set(&self, values: &GaugeValues) {
        let NodeTotals {
            connected,
            lost,
            waiting,
            unknown,
            clock_skew,
        } = values.nodes;

        self.connected.set(gauge(connected));
        self.lost.set(gauge(lost));
        self.waiting.set(gauge(waiting));
        self.unknown.set(i64::from(unknown));
        self.clock_skew
            .set(Duration::from_millis(clock_skew).as_secs_f64());

        let lag = values.revision.saturating_sub(values.slowest_node);
        self.lag.set(lag.cast_signed());
    }
}

/// Returns the value of a gauge for a number.
fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
