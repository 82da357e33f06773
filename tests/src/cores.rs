//! The assignment of threads and processes to cores.

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread.
const SELF: Pid = Pid::from_raw(0);

/// Returns the cores on which this process may run.
///
/// # Errors
/// Fails when the kernel does not report them.
pub fn allowed_cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(SELF).context("the cores that are allowed")?;
    Ok((0..CpuSet::count())
        .filter(|core| set.is_set(*core).unwrap_or(false))
        .collect())
}

/// Pins the calling thread to one core. Threads and processes that it starts later inherit that.
///
/// # Errors
/// Fails when this process may not run there.
pub fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(SELF, &set).with_context(|| format!("cannot run on core {core}"))
}

/// Runs `what` with the calling thread on another core, so that a process that it starts stays
/// there.
///
/// # Errors
/// Returns the errors of `what`, and fails when this process may not run there.
pub(crate) fn while_on<T>(core: Option<usize>, what: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(core) = core else { return what() };
    let before = sched_getaffinity(SELF)?;
    stay_on(core)?;
    let done = what();
    sched_setaffinity(SELF, &before)?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_moves_to_another_core_temporarily() {
        let before = allowed_cores().unwrap();
        let last = *before.last().unwrap();
        assert_eq!(while_on(Some(last), allowed_cores).unwrap(), [last]);
        assert_eq!(allowed_cores().unwrap(), before);
    }
}
