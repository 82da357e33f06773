//! The metrics of enforcement.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The buckets of enforcement times, from a millisecond to the longest wait.
const ENFORCEMENT_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// The waits until every node enforces a change.
pub(crate) struct EnforcementMetrics {
    pub(crate) seconds: Histogram,
    pub(crate) timeouts: Counter,
}

impl EnforcementMetrics {
    /// Creates the metrics in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            seconds: Histogram::new(ENFORCEMENT_SECONDS),
            timeouts: Counter::default(),
        };
        registry.register(
            "enforcement_seconds",
            "Time from a committed change until every counted node had acknowledged it",
            metrics.seconds.clone(),
        );
        registry.register(
            "enforcement_timeouts",
            "Changes that not every counted node had acknowledged when the call returned",
            metrics.timeouts.clone(),
        );

        metrics
    }
}
