//! `latchkey-nodes`: measures one control plane with a million keys and a thousand nodes. It
//! measures the time until a revocation reaches all of them, its cost on the wire and in the
//! control plane, and the time until all are current after a restart.
//!
//! The nodes are in this process (`latchkey_tests::Fleet`). So their own load on the machine is in
//! all figures but the control plane's CPU and memory. A few of them load the whole snapshot. The
//! others say Hello as nodes that were connected before, because otherwise the measurement would
//! consist of a thousand whole snapshots.

mod database;
mod measure;
mod quantiles;
mod report;
mod usage;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use latchkey_tests::{ControlPlane, ControlPlaneOptions, raise_file_limit, workspace};

/// Measures one control plane with many nodes
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of nodes [default: 1000, or 100 with --quick]
    #[arg(long)]
    nodes: Option<usize>,
    /// Number of keys [default: 1000000, or 10000 with --quick]
    #[arg(long)]
    keys: Option<usize>,
    /// Number of nodes that load the full snapshot
    #[arg(long, default_value_t = 4)]
    whole: usize,
    /// Number of keys that are revoked one by one, in each of the two measurements
    #[arg(long, default_value_t = 200)]
    deletes: usize,
    /// Number of keys that are revoked while the nodes are disconnected
    #[arg(long, default_value_t = 100)]
    away: usize,
    /// Interval between usage reports of a node, in milliseconds
    #[arg(long, default_value_t = 10_000)]
    report_ms: u64,
    /// Uses fewer nodes and keys
    #[arg(long)]
    quick: bool,
    /// Directory in which databases are kept, so that keys are imported once [default: target/bench]
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Also writes the figures to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    raise_file_limit()?;
    let (nodes, keys) = if arguments.quick {
        (100, 10_000)
    } else {
        (1_000, 1_000_000)
    };
    let plan = measure::Plan {
        nodes: arguments.nodes.unwrap_or(nodes),
        keys: arguments.keys.unwrap_or(keys),
        whole: arguments.whole,
        deletes: arguments.deletes,
        away: arguments.away,
        report_ms: arguments.report_ms,
    };
    let cache = arguments
        .cache
        .unwrap_or_else(|| workspace().join("target/bench"));
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    // The directory is not in `/tmp`, which is often in memory.
    let dir = tempfile::tempdir_in(&cache)?;
    let mut options = ControlPlaneOptions::on_free_ports(dir.path())?;
    let import = database::prepare(&cache, plan.keys, &mut options).await?;
    let mut control_plane = ControlPlane::new(options);
    let figures = measure::all(&mut control_plane, plan, import).await?;
    control_plane.stop().await?;
    print!("{}", report::markdown(&figures));
    if let Some(path) = arguments.json {
        let json = serde_json::to_string_pretty(&figures)?;
        std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
