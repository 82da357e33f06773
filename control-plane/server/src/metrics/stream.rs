//! The metrics of the stream.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::export_zeros;
use super::labels::{CredentialKind, RefusedCredential, StreamStart};

/// The streams of nodes, and the data that they carry.
#[derive(Default)]
pub(crate) struct StreamMetrics {
    pub(crate) batches: Counter,
    pub(crate) batch_bytes: Counter,
    /// The started streams.
    pub(crate) starts: Family<StreamStart, Counter>,
    /// The open streams.
    pub(crate) credentials: Family<CredentialKind, Gauge>,
    pub(crate) refused_credentials: Family<RefusedCredential, Counter>,
    /// The streams whose node's epoch was not accepted.
    pub(crate) waiting: Counter,
    pub(crate) history_mismatches: Counter,
}

impl StreamMetrics {
    /// Creates the metrics in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        export_zeros(&metrics.starts, [StreamStart::FULL, StreamStart::RESUMED]);
        let kinds = [CredentialKind::TOKEN, CredentialKind::SHARED];
        export_zeros(&metrics.credentials, kinds);
        let reasons = [RefusedCredential::TOKEN, RefusedCredential::NODE_ID];
        export_zeros(&metrics.refused_credentials, reasons);

        registry.register(
            "streams_waiting",
            "Streams of nodes that hold a snapshot of another database whose epoch was not \
             accepted",
            metrics.waiting.clone(),
        );
        registry.register(
            "history_mismatches",
            "Nodes that held a revision unknown to this database and loaded a full snapshot",
            metrics.history_mismatches.clone(),
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
            metrics.starts.clone(),
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
        metrics
    }
}
