//! The division of the cores: the measured Envoy on one, everything else on the other.

use anyhow::{Result, ensure};
use latchkey_tests::{allowed_cores, stay_on};
use serde::{Deserialize, Serialize};

/// The two cores.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cores {
    pub(crate) envoy: usize,
    pub(crate) everything_else: usize,
}

impl Cores {
    /// Takes the first two allowed cores, and moves this process to the second one. Call it before
    /// the process has threads.
    pub(crate) fn divide() -> Result<Self> {
        let allowed = allowed_cores()?;
        ensure!(
            allowed.len() >= 2,
            "it takes two cores: one for Envoy, one for all else"
        );
        let cores = Self {
            envoy: allowed[0],
            everything_else: allowed[1],
        };
        stay_on(cores.everything_else)?;
        Ok(cores)
    }
}
