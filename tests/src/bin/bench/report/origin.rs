//! The time, machine and arguments of a section's measurement.

use std::process::Command;

use anyhow::{Context as _, Result};
use jiff::{Timestamp, Unit};
use latchkey_tests::envoy_binary;
use serde::{Deserialize, Serialize};

/// The origin of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The time of the run, in RFC 3339, UTC.
    pub(crate) taken_at: String,
    /// The arguments of `latchkey-bench`.
    pub(crate) arguments: Vec<String>,
    pub(crate) machine: Machine,
    pub(crate) versions: Versions,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(crate) latchkey: String,
    pub(crate) envoy: String,
    pub(crate) rustc: String,
}

impl Origin {
    /// Returns the origin of this run on this machine.
    pub(crate) fn of_this_run(cores: usize) -> Result<Self> {
        let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
        let cpu = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        let memory = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        let memory: u64 = memory.context("no MemTotal")?.parse()?;
        let machine = Machine {
            cpu: cpu.map_or("unknown", |(_, model)| model).to_owned(),
            cores,
            memory_gib: memory.div_ceil(1 << 20),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
        };
        let envoy = output(Command::new(envoy_binary()?).arg("--version"))?;
        let versions = Versions {
            latchkey: env!("CARGO_PKG_VERSION").to_owned(),
            // The output is: <path>  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL
            envoy: envoy
                .rsplit(' ')
                .next()
                .and_then(|version| version.split('/').nth(1))
                .unwrap_or("unknown")
                .to_owned(),
            rustc: output(Command::new("rustc").arg("--version"))?
                .split(' ')
                .nth(1)
                .unwrap_or("unknown")
                .to_owned(),
        };
        let taken_at = Timestamp::now().round(Unit::Second)?.to_string();
        Ok(Self {
            taken_at,
            arguments: std::env::args().skip(1).collect(),
            machine,
            versions,
        })
    }

    /// Returns the origin as a sentence.
    pub(crate) fn sentence(&self) -> String {
        let Self {
            taken_at,
            arguments,
            machine,
            versions,
        } = self;
        format!(
            "Measured {taken_at} by `latchkey-bench {}` on {} ({} cores, {} GiB, Linux {}), Envoy {}, Rust {}, Latchkey {}.",
            arguments.join(" "),
            machine.cpu,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            versions.envoy,
            versions.rustc,
            versions.latchkey,
        )
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
