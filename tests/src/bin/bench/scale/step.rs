//! The cost of one number of keys: loading them, holding them, revoking one of them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::{ControlPlane, Envoy, EnvoyOptions, eventually, http_client};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::prober::{Prober, Seen};
use crate::cores::Cores;
use crate::keys;
use crate::process::resident_bytes;
use crate::requests::{TARGETS, envoy_options, plain_key};
use crate::spread::Spread;

/// The time that a snapshot may take.
const SNAPSHOT: Duration = Duration::from_secs(120);

/// The period without growth after which memory has settled.
const SETTLED: Duration = Duration::from_secs(2);

/// The results of Envoys that have loaded these keys, one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) workers: u32,
    /// The time from an Envoy's start until the newest key passes.
    pub(crate) ready_seconds: Spread,
    /// The longest time of the traffic on another listener while each Envoy loaded.
    pub(crate) beside_longest_ms: Spread,
    pub(crate) beside_p99_ms: Spread,
    pub(crate) resident_bytes: Spread,
    pub(crate) each: Vec<Load>,
}

/// The results of one load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) ready_seconds: f64,
    pub(crate) beside: Seen,
    pub(crate) resident_bytes: u64,
}

impl Loaded {
    fn from_loads(workers: u32, each: Vec<Load>) -> Self {
        let spread = |figure: fn(&Load) -> f64| Spread::from_figures(each.iter().map(figure));
        Self {
            workers,
            ready_seconds: spread(|load| load.ready_seconds),
            beside_longest_ms: spread(|load| load.beside.longest_ms),
            beside_p99_ms: spread(|load| load.beside.p99_ms),
            #[expect(clippy::cast_precision_loss, reason = "there is not that much memory")]
            resident_bytes: spread(|load| load.resident_bytes as f64),
            each,
        }
    }
}

/// Starts an Envoy with `workers` workers, `times` times. The last one keeps running.
pub(crate) async fn load(
    dir: &Path,
    cores: Cores,
    control_plane: &ControlPlane,
    keys: usize,
    workers: u32,
    times: usize,
) -> Result<(Envoy, Loaded)> {
    let mut each = Vec::new();
    for _ in 1..times {
        each.push(load_once(dir, cores, control_plane, keys, workers).await?.1);
    }
    let (envoy, last) = load_once(dir, cores, control_plane, keys, workers).await?;
    each.push(last);
    Ok((envoy, Loaded::from_loads(workers, each)))
}

/// The results of revocations, one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Revocations {
    pub(crate) count: usize,
    /// The time from the commit to the acknowledgement, as the answer reports it.
    pub(crate) acknowledged_p50_ms: u64,
    pub(crate) acknowledged_p99_ms: u64,
    /// The time from sending the call to its answer.
    pub(crate) answered_p50_ms: f64,
    pub(crate) answered_p99_ms: f64,
    /// The bytes that Envoy received on the stream, for each revocation.
    pub(crate) stream_bytes: f64,
}

/// Starts one Envoy, and waits until it has loaded all keys.
async fn load_once(
    dir: &Path,
    cores: Cores,
    control_plane: &ControlPlane,
    keys: usize,
    workers: u32,
) -> Result<(Envoy, Load)> {
    let options = EnvoyOptions {
        node_id: format!("with-{keys}-keys-and-{workers}-workers"),
        concurrency: workers,
        beside: true,
        configuration: json!({ "rate_limit_headers": [] }),
        ..envoy_options(
            dir,
            cores,
            control_plane.stream(),
            control_plane.node_token(),
        )?
    };
    let began = Instant::now();
    let envoy = Envoy::start(&options).await?;
    let prober = Prober::start(envoy.listener("beside").await?);
    let (client, key) = (http_client(), keys::key(keys - 1));
    loop {
        let request = client
            .get(envoy.url(TARGETS[0].1))
            .header("x-api-key", key.expose());
        let status = request.send().await?.status();
        if status == 200 {
            break;
        }
        ensure!(
            began.elapsed() < SNAPSHOT,
            "the last of {keys} keys still gets {status}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ready_seconds = began.elapsed().as_secs_f64();
    let resident_bytes = settled(envoy.pid()).await?;
    let beside = prober.stop()?;
    Ok((
        envoy,
        Load {
            ready_seconds,
            beside,
            resident_bytes,
        },
    ))
}

/// Returns the resident memory, once it no longer grows.
pub(crate) async fn settled(pid: u32) -> Result<u64> {
    let (mut most, mut since) = (0, Instant::now());
    eventually(Duration::from_secs(60), async || {
        let now = resident_bytes(pid)?;
        if now > most + (256 << 10) {
            (most, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() >= SETTLED, "memory still grows");
        Ok(now)
    })
    .await
}

/// Creates `count` keys after the first `keys`, and revokes them while one Envoy follows.
pub(crate) async fn revoke(
    control_plane: &ControlPlane,
    envoy: &Envoy,
    keys: usize,
    count: usize,
) -> Result<Revocations> {
    let alone = eventually(Duration::from_secs(30), async || {
        let nodes = control_plane.nodes().await?;
        ensure!(
            nodes.len() == 1 && nodes[0]["connected"] == true,
            "{nodes:?}"
        );
        Ok(())
    });
    alone.await.context("there is not one node")?;
    let ids = keys::import(control_plane, keys..keys + count, plain_key).await?;
    let (mut acknowledged, mut answered) = (Vec::new(), Vec::new());
    let before = received(envoy).await?;
    for id in &ids {
        let began = Instant::now();
        let enforcement = control_plane
            .change(Method::DELETE, &format!("/v1/keys/{id}"), json!({}))
            .await?;
        answered.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(
            (enforcement.nodes, enforcement.acknowledged) == (1, 1),
            "{enforcement:?}"
        );
        acknowledged.push(enforcement.elapsed_ms);
    }
    let bytes = received(envoy).await? - before;
    acknowledged.sort_unstable();
    answered.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| (count * percent / 100).min(count - 1);
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let stream_bytes = bytes as f64 / count as f64;
    Ok(Revocations {
        count,
        acknowledged_p50_ms: acknowledged[at(50)],
        acknowledged_p99_ms: acknowledged[at(99)],
        answered_p50_ms: answered[at(50)],
        answered_p99_ms: answered[at(99)],
        stream_bytes,
    })
}

/// Returns the bytes that Envoy has received from the control plane, including HTTP/2's own.
async fn received(envoy: &Envoy) -> Result<u64> {
    envoy
        .stat("cluster.latchkey.upstream_cx_rx_bytes_total")
        .await
}
