//! The metrics of usage reports.

use latchkey_store::COMMIT_SECONDS;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The reports of nodes, and their storage.
pub(crate) struct UsageMetrics {
    pub(crate) reports: Counter,
    pub(crate) keys: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) held_back: Counter,
}

impl UsageMetrics {
    /// Creates the metrics in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reports: Counter::default(),
            keys: Counter::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            held_back: Counter::default(),
        };

        registry.register(
            "usage_held_back",
            "Usage reports with future windows or from nodes with a wrong clock, which no limit \
             counts",
            metrics.held_back.clone(),
        );
        registry.register(
            "usage_reports",
            "Usage reports received",
            metrics.reports.clone(),
        );
        registry.register(
            "usage_keys",
            "Keys in received usage reports",
            metrics.keys.clone(),
        );
        registry.register(
            "usage_commit_seconds",
            "Duration of the transactions that store usage reports",
            metrics.commit_seconds.clone(),
        );

        metrics
    }
}
