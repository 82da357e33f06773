//! The metrics of webhooks.

use latchkey_store::Backlog;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    outcome: &'static str,
}

impl Outcome {
    pub(crate) const DELIVERED: Self = Self {
        outcome: "delivered",
    };
    /// The attempt failed and will be repeated.
    pub(crate) const RETRIED: Self = Self { outcome: "retried" };
    /// The last attempt failed.
    pub(crate) const FAILED: Self = Self { outcome: "failed" };
    /// The receiver permanently rejects deliveries.
    pub(crate) const GONE: Self = Self { outcome: "gone" };
}

/// The metrics. The worker updates the counters; the gauges are set at each read.
#[derive(Default)]
pub struct WebhookMetrics {
    deliveries: Family<Outcome, Counter>,
    pending: Gauge,
    oldest: Gauge,
}

impl WebhookMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for outcome in [
            Outcome::DELIVERED,
            Outcome::RETRIED,
            Outcome::FAILED,
            Outcome::GONE,
        ] {
            // Exports zero as 0, not as absent.
            drop(metrics.deliveries.get_or_create(&outcome));
        }
        let help = "Attempts to deliver to webhooks, by outcome";
        registry.register("webhook_deliveries", help, metrics.deliveries.clone());
        registry.register(
            "webhook_outbox_pending",
            "Pending deliveries",
            metrics.pending.clone(),
        );
        let help = "Age of the oldest pending delivery";
        registry.register(
            "webhook_oldest_pending_seconds",
            help,
            metrics.oldest.clone(),
        );
        metrics
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.deliveries.get_or_create(&outcome).inc();
    }

    /// Sets the gauges, as of `now`.
    pub fn set(&self, backlog: Backlog, now: i64) {
        self.pending.set(backlog.pending);
        self.oldest.set(
            backlog
                .oldest
                .map_or(0, |created_at| now.saturating_sub(created_at).max(0)),
        );
    }
}
