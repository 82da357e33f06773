//! The throughput of the control plane's API with 100,000 keys, compared to the writes of SQLite
//! itself on the same disk in the same run.
//!
//! Results that depend on each other are measured in turns, so that a slow phase of the machine
//! affects all of them.

mod raw;
mod timing;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use latchkey_tests::{ControlPlane, ControlPlaneOptions};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use raw::Raw;
use timing::repeated;
pub(crate) use timing::{Row, Timings};

const KEYS: usize = 100_000;
const BATCH: usize = 1_000;

/// The length of a turn, and the number of turns.
const TURN: Duration = Duration::from_secs(2);
const TURNS: usize = 3;

const CLIENTS: usize = 16;
const READS: usize = 200;

/// The results of the section.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Management {
    pub(crate) keys: usize,
    pub(crate) keys_in_a_call: usize,
    pub(crate) imported_per_second: f64,
    /// The results of writes, each in one transaction.
    pub(crate) writes: Vec<Row>,
    /// The results of reads by one client.
    pub(crate) reads: Vec<Row>,
    pub(crate) walk_pages: usize,
    pub(crate) walk_seconds: f64,
}

/// Measures on a new database in `dir`.
pub(crate) async fn measure(dir: &Path) -> Result<Management> {
    let mut control_plane = ControlPlane::new(ControlPlaneOptions::on_free_ports(dir)?);
    control_plane.start().await?;
    let mut control_plane = Arc::new(control_plane);
    let raw = Raw::open(&dir.join("raw.db")).await?;
    let imported_per_second = fill(&control_plane).await?;

    let (mut rows, mut alone, mut together) =
        (Timings::default(), Timings::default(), Timings::default());
    for turn in 0..TURNS {
        rows.extend(repeated(TURN, |_| raw.insert()).await?);
        alone.extend(
            repeated(TURN, |n| {
                create(&control_plane, format!("{turn} alone {n}"))
            })
            .await?,
        );
        together.extend(many(&control_plane, turn).await?);
    }
    let writes = vec![
        rows.row("SQLite alone: a row of 400 bytes"),
        alone.row("`POST /v1/keys/generate`, 1 client"),
        together.row(&format!("`POST /v1/keys/generate`, {CLIENTS} clients")),
    ];

    let mut reads = Vec::new();
    for (what, path) in [
        ("`GET /v1/keys`: the newest", "/v1/keys?limit=100"),
        ("`sort=name`", "/v1/keys?limit=100&sort=name"),
        (
            "`search=…`, in names, descriptions and ids",
            "/v1/keys?limit=100&search=imported%20777",
        ),
        ("`unused=true`", "/v1/keys?limit=100&unused=true"),
    ] {
        reads.push(read(&control_plane, path).await?.row(what));
    }
    let (walk_pages, walk_seconds) = walk(&control_plane).await?;
    Arc::get_mut(&mut control_plane)
        .context("it is still in use")?
        .stop()
        .await?;
    Ok(Management {
        keys: KEYS,
        keys_in_a_call: BATCH,
        imported_per_second,
        writes,
        reads,
        walk_pages,
        walk_seconds,
    })
}

/// Clients that create keys at the same time.
async fn many(control_plane: &Arc<ControlPlane>, turn: usize) -> Result<Timings> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let control_plane = Arc::clone(control_plane);
        clients.spawn(async move {
            repeated(TURN, |n| {
                create(&control_plane, format!("{turn} of {client} {n}"))
            })
            .await
        });
    }
    let mut timings = Timings::default();
    while let Some(ended) = clients.join_next().await {
        timings.beside(ended??);
    }
    Ok(timings)
}

/// Imports the keys, and returns the number per second.
async fn fill(control_plane: &ControlPlane) -> Result<f64> {
    let began = Instant::now();
    for batch in 0..KEYS / BATCH {
        let row = |n| json!({"name": format!("imported {n}"), "sha256": format!("{n:064x}")});
        let rows: Vec<_> = (batch * BATCH..(batch + 1) * BATCH).map(row).collect();
        control_plane
            .call(Method::POST, "/v1/keys/import", json!({ "keys": rows }))
            .await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "it is 100,000")]
    let keys = KEYS as f64;
    Ok(keys / began.elapsed().as_secs_f64())
}

async fn create(control_plane: &ControlPlane, name: String) -> Result<()> {
    control_plane
        .create_key(json!({"name": name, "description": "measured", "scope": "all"}))
        .await?;
    Ok(())
}

async fn read(control_plane: &ControlPlane, path: &str) -> Result<Timings> {
    let mut timings = Timings::default();
    for _ in 0..READS {
        let began = Instant::now();
        get(control_plane, path).await?;
        timings.add(began.elapsed());
    }
    Ok(timings)
}

/// Reads all pages, one after the other. Returns their number and the time in seconds.
async fn walk(control_plane: &ControlPlane) -> Result<(usize, f64)> {
    let (began, mut pages, mut cursor) = (Instant::now(), 0, String::new());
    loop {
        let page = get(control_plane, &format!("/v1/keys?limit=1000{cursor}")).await?;
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok((pages, began.elapsed().as_secs_f64())),
        }
    }
}

async fn get(control_plane: &ControlPlane, path: &str) -> Result<Value> {
    let answer = control_plane
        .request(Method::GET, path)
        .await?
        .send()
        .await?
        .error_for_status()?;
    let mut answer: Value = answer.json().await?;
    Ok(answer["data"].take())
}
