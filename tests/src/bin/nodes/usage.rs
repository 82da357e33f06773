//! The resources that a process has used, as Linux reports them.

use std::fs;

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

/// The use since the process started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_bytes: u64,
    pub(crate) peak_rss_bytes: u64,
}

impl Usage {
    pub(crate) fn for_process(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kilobytes = |name: &str| -> Result<u64> {
            let value = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .context("no memory in the status")?;
            Ok(value.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // After the name, which may contain any character, user and system time are the 12th and
        // 13th field.
        let (_, fields) = stat.rsplit_once(") ").context("no name in the stat")?;
        let mut fields = fields.split(' ').skip(11).map(str::parse::<u32>);
        let mut ticks = || fields.next().context("no time in the stat");
        let (user, system) = (ticks()??, ticks()??);
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick")?;
        #[expect(clippy::cast_precision_loss, reason = "it is 100")]
        let per_second = per_second as f64;
        Ok(Self {
            cpu_seconds: (f64::from(user) + f64::from(system)) / per_second,
            rss_bytes: kilobytes("VmRSS:")?,
            peak_rss_bytes: kilobytes("VmHWM:")?,
        })
    }
}
