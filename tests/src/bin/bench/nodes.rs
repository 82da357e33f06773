//! The section on a thousand nodes at one control plane: the results of `latchkey-nodes`.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::nodes_binary;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::process::Command;

/// The results of `latchkey-nodes`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Nodes {
    /// The results as it prints them.
    pub(crate) table: String,
    /// The results as JSON.
    pub(crate) figures: Value,
}

impl Nodes {
    /// Returns one figure, by its path.
    pub(crate) fn figure(&self, path: &str) -> Option<f64> {
        self.figures.pointer(path)?.as_f64()
    }
}

pub(crate) async fn measure(dir: &Path) -> Result<Nodes> {
    let json = dir.join("nodes.json");
    let mut command = Command::new(nodes_binary()?);
    command.arg("--json").arg(&json).kill_on_drop(true);
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "latchkey-nodes ended with {}",
        output.status
    );
    let figures = std::fs::read_to_string(&json).context("latchkey-nodes left no figures")?;
    Ok(Nodes {
        table: String::from_utf8(output.stdout)?,
        figures: serde_json::from_str(&figures)?,
    })
}
