//! The resources that a process has used, as the kernel counts them.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Returns the CPU time of all its live threads.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
        // A thread may end after it was listed.
        let Ok(line) = std::fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        nanos += line
            .split(' ')
            .next()
            .context("an empty schedstat")?
            .parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Returns the resident memory, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
