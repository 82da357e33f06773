//! `latchkey-bench`: how much management the control plane can take with 100,000 keys, beside what SQLite itself can
//! write on the same disk in the same run. `make bench` runs it; README tells what came of it.
//!
//! What depends on each other is measured in turns, so that a machine that is busy for a while is so for all of it.

mod raw;
mod timing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use latchkey_tests::{ControlPlane, ControlPlaneOptions, workspace};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use raw::Raw;
use timing::{Timings, repeated};

const KEYS: usize = 100_000;
const BATCH: usize = 1_000;

/// How long each thing is done in each turn, and how many turns there are.
const TURN: Duration = Duration::from_secs(2);
const TURNS: usize = 3;

const CLIENTS: usize = 16;
const READS: usize = 200;

#[tokio::main]
async fn main() -> Result<()> {
    // Not in memory, as `/tmp` often is.
    let dir = tempfile::tempdir_in(workspace().join("target")).context("cannot make a folder in target/")?;
    let mut control_plane = ControlPlane::new(ControlPlaneOptions::on_free_ports(dir.path())?);
    control_plane.start().await?;
    let mut control_plane = Arc::new(control_plane);
    let raw = Raw::open(&dir.path().join("raw.db")).await?;

    println!("SQLite and the control plane on {}", dir.path().display());
    let imported = fill(&control_plane).await?;
    println!("import of {KEYS} keys, {BATCH} a call: {imported:.0} keys/s");

    let (mut rows, mut alone, mut together) = (Timings::default(), Timings::default(), Timings::default());
    for turn in 0..TURNS {
        rows.extend(repeated(TURN, |_| raw.insert()).await?);
        alone.extend(repeated(TURN, |n| create(&control_plane, format!("{turn} alone {n}"))).await?);
        together.extend(many(&control_plane, turn).await?);
    }
    println!("\n| writes, one a transaction | a second | median | 99th |\n|---|---|---|---|");
    rows.print("SQLite alone: a row of the size of a key");
    alone.print("`POST /v1/keys/generate`, 1 client");
    together.print(&format!("`POST /v1/keys/generate`, {CLIENTS} clients"));
    let ratio = alone.per_second() / rows.per_second();
    println!(
        "\none client creates at {ratio:.2} of SQLite's own rate, {CLIENTS} at {:.2}",
        together.per_second() / rows.per_second()
    );

    println!("\n| reads, 1 client | a second | median | 99th |\n|---|---|---|---|");
    for (what, path) in [
        ("the newest 100", "/v1/keys?limit=100"),
        ("by name, 100", "/v1/keys?limit=100&sort=name"),
        ("search in names, 100", "/v1/keys?limit=100&search=imported%20777"),
        ("never used, 100", "/v1/keys?limit=100&unused=true"),
    ] {
        reads(&control_plane, path).await?.print(&format!("`GET {path}`: {what}"));
    }
    walk(&control_plane).await?;
    Arc::get_mut(&mut control_plane).context("it is still in use")?.stop().await?;
    Ok(())
}

/// Clients that create keys at the same time.
async fn many(control_plane: &Arc<ControlPlane>, turn: usize) -> Result<Timings> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let control_plane = Arc::clone(control_plane);
        clients
            .spawn(async move { repeated(TURN, |n| create(&control_plane, format!("{turn} of {client} {n}"))).await });
    }
    let mut timings = Timings::default();
    while let Some(ended) = clients.join_next().await {
        timings.beside(ended??);
    }
    Ok(timings)
}

/// Keys a second.
async fn fill(control_plane: &ControlPlane) -> Result<f64> {
    let began = Instant::now();
    for batch in 0..KEYS / BATCH {
        let row = |n| json!({"name": format!("imported {n}"), "sha256": format!("{n:064x}")});
        let rows: Vec<_> = (batch * BATCH..(batch + 1) * BATCH).map(row).collect();
        control_plane.call(Method::POST, "/v1/keys/import", json!({ "keys": rows })).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "it is 100,000")]
    let keys = KEYS as f64;
    Ok(keys / began.elapsed().as_secs_f64())
}

async fn create(control_plane: &ControlPlane, name: String) -> Result<()> {
    control_plane.create_key(json!({"name": name, "description": "measured", "scope": "all"})).await?;
    Ok(())
}

async fn reads(control_plane: &ControlPlane, path: &str) -> Result<Timings> {
    let mut timings = Timings::default();
    for _ in 0..READS {
        let began = Instant::now();
        get(control_plane, path).await?;
        timings.add(began.elapsed());
    }
    Ok(timings)
}

/// All pages, one after the other.
async fn walk(control_plane: &ControlPlane) -> Result<()> {
    let (began, mut keys, mut pages, mut cursor) = (Instant::now(), 0, 0, String::new());
    loop {
        let page = get(control_plane, &format!("/v1/keys?limit=1000{cursor}")).await?;
        keys += page["keys"].as_array().map_or(0, Vec::len);
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    println!("\nall {keys} keys in {pages} pages: {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

async fn get(control_plane: &ControlPlane, path: &str) -> Result<Value> {
    let answer = control_plane.request(Method::GET, path).await?.send().await?.error_for_status()?;
    let mut answer: Value = answer.json().await?;
    Ok(answer["data"].take())
}
