//! The measurements, in the order in which they are made.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use latchkey_tests::{ControlPlane, Enforcement, Fleet, Reports};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use tokio::time;

use crate::database::Import;
use crate::quantiles::Quantiles;
use crate::usage::Usage;

/// The timeout of every step.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time for which the control plane is watched while nothing changes.
const REST: Duration = Duration::from_secs(3);

const KEYS_IN_A_REPORT: usize = 3;

/// The size of the measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) keys: usize,
    pub(crate) whole: usize,
    pub(crate) deletes: usize,
    pub(crate) away: usize,
    pub(crate) report_ms: u64,
}

/// The results. Times are in milliseconds unless stated otherwise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) plan: Plan,
    pub(crate) import: Option<Import>,
    pub(crate) start_ms: f64,
    pub(crate) snapshot: Snapshot,
    pub(crate) resumed_ms: f64,
    /// The CPU use of the idle control plane, in thousandths of a core.
    pub(crate) idle_millicores: f64,
    pub(crate) quiet: Deletes,
    pub(crate) reporting: Deletes,
    pub(crate) rss_bytes: u64,
    pub(crate) peak_rss_bytes: u64,
    pub(crate) restart: Restart,
}

/// The results for the whole snapshot.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) bytes: u64,
    /// The time until one node has it, without other nodes.
    pub(crate) one_node_ms: f64,
    /// The time until the others that load it, at the same time, have it.
    pub(crate) others_ms: f64,
}

/// The results for keys revoked one after the other.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Deletes {
    /// The time from the request to its answer.
    pub(crate) wall_ms: Quantiles,
    /// The enforcement time in the answers.
    pub(crate) enforcement_ms: Quantiles,
    /// The bytes on one node's connection for a change, in each direction.
    pub(crate) received_bytes: Quantiles,
    pub(crate) sent_bytes: Quantiles,
    /// The CPU time of the control plane for a change.
    pub(crate) cpu_ms: f64,
}

/// The results for a control plane that stops and starts again, with changes that the nodes have
/// not seen.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Restart {
    pub(crate) changes: usize,
    /// The time from the start of the process.
    pub(crate) ready_ms: f64,
    pub(crate) all_current_ms: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) peak_rss_bytes: u64,
}

pub(crate) async fn all(
    control_plane: &mut ControlPlane,
    plan: Plan,
    import: Option<Import>,
) -> Result<Figures> {
    ensure!(
        plan.nodes >= plan.whole && plan.whole > 0,
        "some nodes have to load the whole snapshot"
    );
    ensure!(
        plan.keys >= 2 * plan.deletes + plan.away,
        "there are fewer keys than are to be revoked"
    );
    let began = Instant::now();
    control_plane.start().await?;
    let start_ms = milliseconds(began);
    let mut keys = ids(control_plane, 2 * plan.deletes + plan.away).await?;
    let mut fleet = Fleet::new(control_plane.stream(), control_plane.node_token());

    eprintln!(
        "{} nodes load the snapshot, {} resume",
        plan.whole,
        plan.nodes - plan.whole
    );
    let snapshot = load(&mut fleet, plan).await?;
    let resumed = Instant::now();
    fleet.resume(plan.nodes - plan.whole);
    fleet.current(1, PATIENCE).await?;
    let resumed_ms = milliseconds(resumed);

    let (rested, idle) = (Instant::now(), cpu(control_plane)?);
    time::sleep(REST).await;
    let idle_millicores = (cpu(control_plane)? - idle) / rested.elapsed().as_secs_f64() * 1e3;

    eprintln!("{} revocations", plan.deletes);
    let quiet = deletes(control_plane, &fleet, keys.drain(..plan.deletes)).await?;
    fleet.report(Some(Reports {
        every: Duration::from_millis(plan.report_ms),
        keys: KEYS_IN_A_REPORT,
    }));
    eprintln!("{} revocations while all nodes report usage", plan.deletes);
    let reporting = deletes(control_plane, &fleet, keys.drain(..plan.deletes)).await?;
    let reported = control_plane.metric("latchkey_usage_reports_total").await?;
    ensure!(reported > 0.0, "no node has reported usage");
    let used = Usage::for_process(control_plane.process()?.pid())?;

    eprintln!("restart");
    let restart = restart(control_plane, &fleet, &keys).await?;
    fleet.intact()?;
    let Usage {
        rss_bytes,
        peak_rss_bytes,
        ..
    } = used;
    Ok(Figures {
        plan,
        import,
        start_ms,
        snapshot,
        resumed_ms,
        idle_millicores,
        quiet,
        reporting,
        rss_bytes,
        peak_rss_bytes,
        restart,
    })
}

async fn load(fleet: &mut Fleet, plan: Plan) -> Result<Snapshot> {
    let began = Instant::now();
    fleet.load(1);
    fleet.current(1, PATIENCE).await?;
    let one_node_ms = milliseconds(began);
    let began = Instant::now();
    fleet.load(plan.whole - 1);
    fleet.current(1, PATIENCE).await?;
    let others_ms = milliseconds(began);
    let first = fleet.totals(0);
    ensure!(
        usize::try_from(first.keys)? == plan.keys,
        "a snapshot of {} keys has {}",
        plan.keys,
        first.keys
    );
    for node in 1..plan.whole {
        ensure!(
            fleet.totals(node) == first,
            "node {node} was sent another snapshot than node 0"
        );
    }
    Ok(Snapshot {
        bytes: first.bytes,
        one_node_ms,
        others_ms,
    })
}

async fn deletes(
    control_plane: &mut ControlPlane,
    fleet: &Fleet,
    keys: impl Iterator<Item = String>,
) -> Result<Deletes> {
    let (traffic, used) = (fleet.traffic(), cpu(control_plane)?);
    let (mut wall, mut enforcement) = (Vec::new(), Vec::new());
    for key in keys {
        let began = Instant::now();
        let answer = control_plane.revoke(&key).await?;
        wall.push(milliseconds(began));
        let Enforcement {
            nodes,
            acknowledged,
            elapsed_ms,
            ..
        } = answer;
        ensure!(
            nodes == fleet.len() && acknowledged == nodes,
            "{acknowledged} of {nodes} nodes have acknowledged a revocation, and there are {}",
            fleet.len()
        );
        enforcement.push(f64::from(u32::try_from(elapsed_ms)?));
    }
    fleet.intact()?;
    let count = f64::from(u32::try_from(wall.len())?);
    let cpu_ms = (cpu(control_plane)? - used) * 1e3 / count;
    let now = fleet.traffic();
    let (mut received, mut sent) = (Vec::new(), Vec::new());
    for ((down, up), (down_before, up_before)) in now.into_iter().zip(traffic) {
        received.push(f64::from(u32::try_from(down - down_before)?) / count);
        sent.push(f64::from(u32::try_from(up - up_before)?) / count);
    }
    Ok(Deletes {
        wall_ms: Quantiles::from_values(wall),
        enforcement_ms: Quantiles::from_values(enforcement),
        received_bytes: Quantiles::from_values(received),
        sent_bytes: Quantiles::from_values(sent),
        cpu_ms,
    })
}

async fn restart(
    control_plane: &mut ControlPlane,
    fleet: &Fleet,
    keys: &[String],
) -> Result<Restart> {
    // The stream moves to an address that the nodes do not know, so that they have changes to catch
    // up with.
    let stream = control_plane.stream();
    control_plane.stop().await?;
    control_plane.options().stream.set_port(0);
    control_plane.start().await?;
    let mut revision = 0;
    for key in keys {
        let answer = ask(
            control_plane,
            Method::DELETE,
            &format!("/v1/keys/{key}?wait_ms=0"),
        )
        .await?;
        revision = answer["enforcement"]["revision"]
            .as_u64()
            .context("no revision in the answer")?;
    }
    control_plane.stop().await?;
    control_plane.options().stream = stream;
    let began = Instant::now();
    control_plane.start().await?;
    let ready_ms = milliseconds(began);
    fleet.current(revision, PATIENCE).await?;
    let all_current_ms = milliseconds(began);
    let Usage {
        cpu_seconds,
        peak_rss_bytes,
        ..
    } = Usage::for_process(control_plane.process()?.pid())?;
    let known = control_plane.nodes().await?;
    let lagging = known
        .iter()
        .filter(|node| node["revision"].as_u64().is_none_or(|at| at < revision))
        .count();
    if known.len() != fleet.len() || lagging > 0 {
        bail!(
            "the control plane knows {} nodes, and {lagging} of them are not current",
            known.len()
        );
    }
    Ok(Restart {
        changes: keys.len(),
        ready_ms,
        all_current_ms,
        cpu_ms: cpu_seconds * 1e3,
        peak_rss_bytes,
    })
}

/// Returns the ids of the newest keys.
async fn ids(control_plane: &ControlPlane, count: usize) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    while ids.len() < count {
        let page = ask(
            control_plane,
            Method::GET,
            &format!("/v1/keys?limit=1000{cursor}"),
        )
        .await?;
        let keys = page["keys"].as_array().context("no keys in the answer")?;
        ids.extend(
            keys.iter()
                .filter_map(|key| key["key_id"].as_str())
                .map(str::to_owned),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(ids.len() >= count, "there are only {} keys", ids.len());
    ids.truncate(count);
    Ok(ids)
}

async fn ask(control_plane: &ControlPlane, method: Method, path: &str) -> Result<Value> {
    let answer = control_plane
        .request(method, path)
        .await?
        .send()
        .await?
        .error_for_status()?;
    let mut answer: Value = answer.json().await?;
    Ok(answer["data"].take())
}

fn cpu(control_plane: &mut ControlPlane) -> Result<f64> {
    Ok(Usage::for_process(control_plane.process()?.pid())?.cpu_seconds)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
