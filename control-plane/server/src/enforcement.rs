//! Waiting until a revision is what every node decides by.

use std::time::Duration;
use tokio::time::{self, Instant};

use crate::metrics::Metrics;
use crate::stop::Stop;
use crate::stream::registry::Registry;

/// How far a change had come when its caller was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Enforcement {
    /// The revision that was waited for.
    pub(crate) revision: u64,
    /// Nodes that may be deciding requests. Those that nobody knows of count as one.
    pub(crate) nodes: usize,
    /// Nodes that decide by this revision or a newer one.
    pub(crate) acknowledged: usize,
    /// Of the nodes that have not acknowledged, those without a stream. They are counted until they
    /// can no longer serve, or are forgotten.
    pub(crate) lost: usize,
    /// Whether every node that may be deciding requests has acknowledged. If not, `acknowledged` is
    /// less than `nodes`.
    pub(crate) complete: bool,
    /// How long the caller waited.
    pub(crate) elapsed_ms: u64,
}

/// Answers as soon as every node that is connected, or was lost within the grace, has acknowledged
/// `revision`, or after `patience`, or once it stops: streams end then, and nobody acknowledges any
/// more.
pub(crate) async fn wait(
    registry: &Registry,
    metrics: &Metrics,
    mut stop: Stop,
    revision: u64,
    patience: Duration,
) -> Enforcement {
    let started = Instant::now();
    // Whatever ends it, `progress` has the last word.
    let _ = tokio::select! {
        ended = time::timeout(patience, registry.acknowledged(revision)) => ended,
        () = stop.requested() => Ok(()),
    };
    let progress = registry.progress(revision);
    let elapsed = started.elapsed();
    if !progress.complete() {
        metrics.unenforced.inc();
    } else if progress.nodes > 0 {
        metrics.enforcement.observe(elapsed.as_secs_f64());
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
