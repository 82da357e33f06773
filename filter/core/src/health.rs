//! The health path: whether requests can be decided, for readiness probes.

use crate::config::Config;
use crate::headers::RequestHeaders;
use crate::host::{Host, Level, LocalResponse};
use crate::shared::{Ready, Shared};
use crate::source::SnapshotSource;
use latchkey_policy::snapshot::Unavailable;
use latchkey_policy::verdict::Source as _;
use serde_json::json;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Returns whether the request is a probe: GET or HEAD of the configured path, with any query.
#[inline]
pub fn is_probe(config: &Config, headers: &RequestHeaders) -> bool {
    let Some(health_path) = &config.health_path else {
        return false;
    };
    let path = headers.get(":path").unwrap_or_default();
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    path == health_path.as_bytes()
        && headers
            .get(":method")
            .is_some_and(|method| matches!(&*method, b"GET" | b"HEAD"))
}

/// Answers a probe: 200 while the filter would decide a request by its key, else 503.
pub fn answer(host: &impl Host, worker: &Shared, ready: &Ready) {
    let (revision, decides) = row_2(host, worker, ready).unwrap_or_default();
    let age_seconds = worker.snapshot_age(host).map(|age| age / NANOS_PER_SECOND);
    let (status, details, body) = if decides {
        let body = json!({ "status": "success", "revision": revision, "age_seconds": age_seconds });
        (200, "latchkey_healthy", body)
    } else {
        let body = json!({
            "status": "error",
            "code": "not_ready",
            "message": "Service unavailable",
            "error": "API keys cannot be checked yet.",
            "revision": revision,
            "age_seconds": age_seconds,
        });
        (503, "latchkey_not_ready", body)
    };

    let headers = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    ];
    let response = LocalResponse {
        status,
        grpc_status: None,
        details,
        headers: &headers,
        body: &body.to_string(),
    };

    if host.respond(&response).is_err() {
        host.log(
            Level::Error,
            "Envoy refused to send a health check's response; the request stays paused",
        );
    }
}

/// Returns the revision of the snapshot, and whether row 2 of the verdict lets requests pass.
/// Fails without a snapshot.
fn row_2(
    host: &impl Host,
    worker: &Shared,
    ready: &Ready,
) -> Result<(Option<u64>, bool), Unavailable> {
    let mut reader = worker.reader()?;
    let view = reader.view(host)?;
    let revision = view.revision();
    let fresh = SnapshotSource::new(host, worker, ready, view).check_staleness();
    Ok((Some(revision), fresh.is_ok()))
}
