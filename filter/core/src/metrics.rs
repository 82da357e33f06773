//! What Envoy's statistics show, as `wasmcustom.<name>`.
//!
//! | name | kind | |
//! |---|---|---|
//! | `latchkey_requests.<code>` | counter | requests by verdict |
//! | `latchkey_stream_opened` | counter | attempts to reach the control plane |
//! | `latchkey_stream_connected` | gauge | 1 while this Envoy hears from the control plane |
//! | `latchkey_waiting` | gauge | 1 while the control plane waits for its operator to accept this Envoy's snapshot |
//! | `latchkey_snapshots_loaded` | counter | whole snapshots received |
//! | `latchkey_revision` | gauge | the revision that workers decide by |
//! | `latchkey_keys` | gauge | keys in memory |
//! | `latchkey_streams_ended` | counter | open streams that were reset because their secret ended |

use crate::host::{Host, MetricId, MetricKind};
use latchkey_policy::verdict::Code;

/// All metrics, defined once for each VM. A metric that the host refused is not counted.
#[derive(Debug)]
pub struct Metrics {
    requests: [Option<MetricId>; Code::ALL.len()],
    stream_opened: Option<MetricId>,
    stream_connected: Option<MetricId>,
    waiting: Option<MetricId>,
    snapshots_loaded: Option<MetricId>,
    revision: Option<MetricId>,
    keys: Option<MetricId>,
    streams_ended: Option<MetricId>,
}

impl Metrics {
    /// Registers the metrics with the host.
    pub fn define(host: &impl Host) -> Self {
        let counter = |name: &str| host.define_metric(MetricKind::Counter, name);
        let gauge = |name: &str| host.define_metric(MetricKind::Gauge, name);

        Self {
            requests: Code::ALL
                .map(|code| counter(&format!("latchkey_requests.{}", code.as_str()))),
            stream_opened: counter("latchkey_stream_opened"),
            stream_connected: gauge("latchkey_stream_connected"),
            waiting: gauge("latchkey_waiting"),
            snapshots_loaded: counter("latchkey_snapshots_loaded"),
            revision: gauge("latchkey_revision"),
            keys: gauge("latchkey_keys"),
            streams_ended: counter("latchkey_streams_ended"),
        }
    }

    /// Counts a decided request.
    pub fn request(&self, host: &impl Host, code: Code) {
        if let Some(Some(metric)) = self.requests.get(code as usize) {
            host.count(*metric);
        }
    }

    /// Counts an attempt to open a stream.
    pub fn stream_opened(&self, host: &impl Host) {
        if let Some(metric) = self.stream_opened {
            host.count(metric);
        }
    }

    /// Records whether this Envoy hears from the control plane.
    pub fn stream_connected(&self, host: &impl Host, connected: bool) {
        if let Some(metric) = self.stream_connected {
            host.gauge(metric, u64::from(connected));
        }
    }

    /// Records whether the control plane waits for its operator to accept the snapshot's epoch, and
    /// does not feed this Envoy until then.
    pub fn waiting(&self, host: &impl Host, waits: bool) {
        if let Some(metric) = self.waiting {
            host.gauge(metric, u64::from(waits));
        }
    }

    /// Counts an open stream that was reset.
    pub fn stream_ended(&self, host: &impl Host) {
        if let Some(metric) = self.streams_ended {
            host.count(metric);
        }
    }

    /// Counts a whole snapshot that is in force.
    pub fn snapshot_loaded(&self, host: &impl Host) {
        if let Some(metric) = self.snapshots_loaded {
            host.count(metric);
        }
    }

    /// Records the revision that is in force and its number of keys.
    pub fn published(&self, host: &impl Host, revision: u64, keys: u64) {
        for (metric, value) in [(self.revision, revision), (self.keys, keys)] {
            if let Some(metric) = metric {
                host.gauge(metric, value);
            }
        }
    }
}
