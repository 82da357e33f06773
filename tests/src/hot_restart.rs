//! Envoy's hot restart: a process takes over the listeners of another, which ends a little later.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::bootstrap::Bootstrap;

/// The time for which the predecessor asks its clients to leave, and the time of its end, both in
/// seconds from its successor's start.
const DRAIN: &str = "1";
const SHUTDOWN: &str = "4";

/// An Envoy's part in a hot restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotRestart {
    /// No part.
    Disabled,
    /// Another process may take its listeners over.
    Predecessor,
    /// It takes over the listeners of the process with this base id that have the same addresses.
    Successor {
        /// The base id that [`Envoy::base_id`](crate::Envoy::base_id) returns.
        base_id: u32,
    },
}

impl HotRestart {
    /// Adds the part to Envoy's arguments. A predecessor writes its base id, a free one, into
    /// `base_id_file`.
    pub(crate) fn add_arguments(self, command: &mut Command, base_id_file: &Path) {
        match self {
            Self::Disabled => command.arg("--disable-hot-restart"),
            Self::Predecessor => command
                .arg("--use-dynamic-base-id")
                .arg("--base-id-path")
                .arg(base_id_file),
            Self::Successor { base_id } => {
                command.args(["--restart-epoch", "1", "--base-id", &base_id.to_string()])
            }
        };
        if self != Self::Disabled {
            command.args([
                "--drain-time-s",
                DRAIN,
                "--parent-shutdown-time-s",
                SHUTDOWN,
            ]);
        }
    }

    /// Makes a successor flush its statistics often. With each flush it adds its predecessor's
    /// statistics to its own.
    pub(crate) fn configure(self, bootstrap: &mut Bootstrap) -> Result<()> {
        match self {
            Self::Successor { .. } => bootstrap.replace(
                "\nstats_config:\n",
                "\nstats_flush_interval: 0.05s\n\nstats_config:\n",
            ),
            Self::Disabled | Self::Predecessor => Ok(()),
        }
    }
}

/// The memory that both processes of a hot restart share. Envoy does not remove it; dropping this
/// value does.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    pub(crate) base_id: u32,
}

impl SharedMemory {
    /// Returns the memory of the predecessor that wrote its base id into this file.
    pub(crate) fn from_file(base_id_file: &Path) -> Result<Self> {
        let base_id = std::fs::read_to_string(base_id_file)?
            .trim()
            .parse()
            .context("a base id that is no number")?;
        Ok(Self { base_id })
    }

    fn path(&self) -> PathBuf {
        // Envoy uses ten numbers for each base id.
        format!(
            "/dev/shm/envoy_shared_memory_{}",
            u64::from(self.base_id) * 10
        )
        .into()
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // If the file is missing, Envoy has removed it.
        let _ = std::fs::remove_file(self.path());
    }
}
