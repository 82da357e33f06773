//! Many slow lists at a time, read by a user who may only read, and the duration of revocations
//! during them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::{ControlPlane, User};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

use crate::management::{Row, Timings};

/// The number of reads at a time.
const READERS: usize = 64;

/// The number of keys that are revoked, without the reads and during them.
const REVOCATIONS: usize = 200;

/// The lists and reports that take the most work.
const READS: [&str; 5] = [
    "/v1/keys?search=zz&limit=1000&state=all",
    "/v1/keys?search=key&sort=name&limit=1000",
    "/v1/keys?state=all&sort=-last_used_at&limit=1000",
    "/v1/audit?action=key&limit=1000",
    "/v1/usage?group_by=key,code&top_keys=10",
];

/// The effect of slow reads on other calls.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SlowReads {
    pub(crate) readers: usize,
    /// The number of reads that were answered, that were refused because too many wait (429), and
    /// that took too long (503).
    pub(crate) answered: usize,
    pub(crate) refused: usize,
    pub(crate) interrupted: usize,
    /// Three rows: revocations without the reads, revocations during the reads, and `/readyz`
    /// during the reads.
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Default)]
struct Counts {
    answered: usize,
    refused: usize,
    interrupted: usize,
}

/// Measures on a control plane with many keys. Fails if a revocation or readiness is not answered
/// with success.
pub(crate) async fn measure(control_plane: &Arc<ControlPlane>) -> Result<SlowReads> {
    let reader = json!({"email": "slow-reader@example.com", "roles": ["read_only_admin"]});
    let reader = control_plane.create_user(reader).await?;
    let mut keys = Vec::new();
    for n in 0..2 * REVOCATIONS {
        let key = json!({"name": format!("revoked during slow reads {n}"), "scope": "all"});
        keys.push(control_plane.create_key(key).await?.key_id);
    }
    let (first, second) = keys.split_at(REVOCATIONS);
    let (alone, _) = revoke(control_plane, first).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for n in 0..READERS {
        readers.spawn(read(
            Arc::clone(control_plane),
            reader.clone(),
            n,
            Arc::clone(&stop),
        ));
    }
    let (revocations, readiness) = revoke(control_plane, second).await?;
    stop.store(true, Ordering::Relaxed);
    let mut counts = Counts::default();
    while let Some(ended) = readers.join_next().await {
        let Counts {
            answered,
            refused,
            interrupted,
        } = ended??;
        counts.answered += answered;
        counts.refused += refused;
        counts.interrupted += interrupted;
    }
    ensure!(counts.answered > 0, "no read was answered");
    let rows = vec![
        alone.row("`DELETE /v1/keys/{id}`, alone"),
        revocations.row("`DELETE /v1/keys/{id}`, during the reads"),
        readiness.row("`GET /readyz`, during the reads"),
    ];
    let Counts {
        answered,
        refused,
        interrupted,
    } = counts;
    Ok(SlowReads {
        readers: READERS,
        answered,
        refused,
        interrupted,
        rows,
    })
}

/// Revokes keys one by one, and requests `/readyz` after each.
async fn revoke(control_plane: &ControlPlane, keys: &[String]) -> Result<(Timings, Timings)> {
    let (mut revocations, mut readiness) = (Timings::default(), Timings::default());
    for key in keys {
        let began = Instant::now();
        control_plane.revoke(key).await?;
        revocations.add(began.elapsed());
        let began = Instant::now();
        let ready = control_plane
            .request(Method::GET, "/readyz")
            .await?
            .send()
            .await?;
        ready.error_for_status().context("not ready")?;
        readiness.add(began.elapsed());
    }
    Ok((revocations, readiness))
}

async fn read(
    control_plane: Arc<ControlPlane>,
    reader: User,
    n: usize,
    stop: Arc<AtomicBool>,
) -> Result<Counts> {
    let mut counts = Counts::default();
    for path in READS.iter().cycle().skip(n) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let answer = control_plane
            .request_as(&reader, Method::GET, path)
            .send()
            .await?;
        match answer.status() {
            StatusCode::TOO_MANY_REQUESTS => counts.refused += 1,
            StatusCode::SERVICE_UNAVAILABLE => counts.interrupted += 1,
            _ => {
                answer.error_for_status()?.bytes().await?;
                counts.answered += 1;
            }
        }
    }
    Ok(counts)
}
