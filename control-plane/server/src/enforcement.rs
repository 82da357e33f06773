//! Waits until every node enforces a revision.

use std::time::Duration;
use tokio::time::{self, Instant};

use crate::metrics::Metrics;
use crate::nodes::registry::Registry;
use crate::stop::Stop;

/// The enforcement progress of a change when the call returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enforcement {
    /// The revision of the change.
    pub revision: u64,
    /// The number of nodes that may be serving. Unknown nodes count as one.
    pub nodes: usize,
    /// The number of nodes that enforce this revision or a newer one.
    pub acknowledged: usize,
    /// The number of nodes that have no stream and have not acknowledged. They count until they can
    /// no longer serve or are forgotten.
    pub lost: usize,
    /// True if every node that may be serving has acknowledged. If false, `acknowledged` is less
    /// than `nodes`.
    pub complete: bool,
    /// The time that the caller waited, in milliseconds.
    pub elapsed_ms: u64,
}

/// Returns as soon as every node that is connected, or was lost within the grace period, has
/// acknowledged `revision`. Also returns after `timeout`, or when the control plane stops, since
/// streams end then.
pub(crate) async fn wait(
    registry: &Registry,
    metrics: &Metrics,
    mut stop: Stop,
    revision: u64,
    timeout: Duration,
) -> Enforcement {
    let started = Instant::now();
    // `progress` determines the result, regardless of the event that ends the wait.
    let _ = tokio::select! {
        ended = time::timeout(timeout, registry.acknowledged(revision)) => ended,
        () = stop.requested() => Ok(()),
    };

    let progress = registry.progress(revision);
    let elapsed = started.elapsed();
    if !progress.complete() {
        metrics.enforcement.timeouts.inc();
    } else if progress.nodes > 0 {
        metrics.enforcement.seconds.observe(elapsed.as_secs_f64());
    }

    Enforcement {
        revision,
        nodes: progress.nodes,
        acknowledged: progress.acknowledged,
        lost: progress.lost,
        complete: progress.complete(),
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}
