//! Waiting until a revision is what every node decides by.

use std::time::Duration;
use tokio::time::{self, Instant};

use crate::metrics::Metrics;
use crate::stop::Stop;
use crate::stream::registry::{Progress, Registry};

/// How far a change had come when its caller was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Enforcement {
    /// The revision that was waited for.
    pub(crate) revision: u64,
    /// Nodes that may be deciding requests.
    pub(crate) nodes: usize,
    /// Nodes that decide by this revision or a newer one.
    pub(crate) acknowledged: usize,
    /// How long the caller waited.
    pub(crate) elapsed_ms: u64,
}

/// Answers as soon as every node has acknowledged `revision`, or after `patience`, or once it stops: streams end then,
/// and nobody acknowledges any more.
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
    if !complete(progress) {
        metrics.unenforced.inc();
    } else if progress.nodes > 0 {
        metrics.enforcement.observe(elapsed.as_secs_f64());
    }
    Enforcement {
        revision,
        nodes: progress.nodes,
        acknowledged: progress.acknowledged,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}

fn complete(progress: Progress) -> bool {
    progress.acknowledged >= progress.nodes
}
