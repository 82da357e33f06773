//! Envoy's hot restart: a process takes another's listeners over, which ends a little later.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::bootstrap::Bootstrap;

/// For how long the predecessor asks its clients to leave, and when it ends, in seconds from its
/// successor's start.
const DRAIN: &str = "1";
const SHUTDOWN: &str = "4";

/// An Envoy's part in a hot restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotRestart {
    /// None.
    Disabled,
    /// Another process may take its listeners over.
    Predecessor,
    /// It takes the listeners of the process with this base id over, which are those with the same
    /// addresses.
    Successor {
        /// What [`Envoy::base_id`](crate::Envoy::base_id) says.
        base_id: u32,
    },
}

impl HotRestart {
    /// Says so to Envoy. A predecessor writes its base id, a free one, into `base_id_file`.
    pub(crate) fn tell(self, command: &mut Command, base_id_file: &Path) {
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

    /// A successor adds its predecessor's statistics to its own whenever it flushes them: often.
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

/// What both processes of a hot restart share. Envoy leaves it behind; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    pub(crate) base_id: u32,
}

impl SharedMemory {
    /// That of the predecessor which wrote its base id into this file.
    pub(crate) fn of(base_id_file: &Path) -> Result<Self> {
        let base_id = std::fs::read_to_string(base_id_file)?
            .trim()
            .parse()
            .context("a base id that is no number")?;
        Ok(Self { base_id })
    }

    fn path(&self) -> PathBuf {
        // Envoy keeps ten numbers for each base id.
        format!(
            "/dev/shm/envoy_shared_memory_{}",
            u64::from(self.base_id) * 10
        )
        .into()
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // When it is not there, Envoy has learnt to tidy up.
        let _ = std::fs::remove_file(self.path());
    }
}
