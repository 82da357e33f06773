//! The metrics of the store.

use latchkey_store::Store;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::GaugeValues;

/// The database, and the connections to it. The store itself updates its counters.
#[derive(Default)]
pub(super) struct StoreMetrics {
    revision: Gauge,
    bytes: Gauge,
    readers_busy: Gauge,
    list_readers_busy: Gauge,
}

impl StoreMetrics {
    /// Creates the metrics in `registry`, with those of `store`.
    pub(super) fn register(registry: &mut Registry, store: &Store) -> Self {
        let metrics = Self::default();
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
            metrics.bytes.clone(),
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

        metrics
    }

    /// Sets the gauges.
    pub(super) fn set(&self, values: &GaugeValues) {
        self.revision.set(values.revision.cast_signed());
        self.bytes.set(values.store_bytes.cast_signed());
        self.readers_busy.set(values.readers_busy.cast_signed());
        self.list_readers_busy
            .set(values.list_readers_busy.cast_signed());
    }
}
