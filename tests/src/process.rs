//! A child process that cannot outlive the thread that spawned it, and whose output is kept.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpid, getppid};

use crate::loopback::FORKING;
use crate::wait::{Fatal, eventually};

/// The number of lines of a log that are shown after a failure.
const TAIL_LINES: usize = 60;
const LONGEST_LINE: usize = 600;

/// A running program. When it is dropped, it is killed and reaped; in a panic the end of its log is
/// printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`. Its standard error is appended to `log`, and its standard output too,
    /// unless that has a separate file.
    ///
    /// # Errors
    /// Fails when a log cannot be opened or the program cannot be started.
    pub fn spawn(
        name: &str,
        command: &mut Command,
        log: &Path,
        stdout: Option<&Path>,
    ) -> Result<Self> {
        let stderr = append_to(log)?;
        let stdout = stdout.map_or_else(|| Ok(stderr.try_clone()?), append_to)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // The process has a separate group: Ctrl-C in the terminal reaches only us, and we decide
        // in which order the parts end.
        command.process_group(0);
        die_with_this_thread(command);
        let _forking = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// Returns the name of the process in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the exit status, if the process has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Fails with [`Fatal`] and the end of the log when the process has ended. Probes that wait for
    /// the process call it.
    ///
    /// # Errors
    /// See above.
    pub fn still_running(&mut self) -> Result<()> {
        match self.exited() {
            None => Ok(()),
            Some(status) => Err(Fatal(format!(
                "{} ended ({status}); its log ends:\n{}",
                self.name,
                self.tail()
            ))
            .into()),
        }
    }

    /// Suspends the process.
    ///
    /// # Errors
    /// Fails when the process has ended.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Resumes a suspended process.
    ///
    /// # Errors
    /// Fails when the process has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Fails when the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.nix_pid(), signal)
            .with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Kills the process with SIGKILL, and also the processes that it has started, unless they have
    /// left its group.
    pub fn kill(&mut self) {
        // The process id belongs to the child only until it is reaped.
        if self.exited().is_none() {
            let _ = killpg(self.nix_pid(), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }

    /// Sends SIGTERM, and kills the process if it has not ended after `within`.
    ///
    /// # Errors
    /// Fails when it had to be killed.
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exited() {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        let ended = eventually(within, async || {
            self.exited().ok_or_else(|| anyhow!("still running"))
        })
        .await;
        if ended.is_err() {
            self.kill();
        }
        ended.with_context(|| format!("{} did not end at SIGTERM and was killed", self.name))
    }

    /// Returns its whole log, including earlier runs.
    #[must_use]
    pub fn log(&self) -> String {
        read_lossy(&self.log)
    }

    /// Returns the end of the log.
    #[must_use]
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    fn nix_pid(&self) -> Pid {
        // Linux' process ids are positive and fit.
        Pid::from_raw(i32::try_from(self.pid()).unwrap_or(i32::MAX))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!(
                "--- {} ({})\n{}",
                self.name,
                self.log.display(),
                self.tail()
            );
        }
    }
}

/// Returns the content of a file, with invalid UTF-8 replaced; empty if it cannot be read.
pub(crate) fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Returns the last lines of a log, each indented, and the long ones truncated.
pub(crate) fn tail(path: &Path) -> String {
    let log = read_lossy(path);
    let lines: Vec<&str> = log.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES));
    shown
        .map(|line| {
            format!(
                "  {}\n",
                line.chars().take(LONGEST_LINE).collect::<String>()
            )
        })
        .collect()
}

fn append_to(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the kernel kill the child with SIGKILL when this thread ends, however it ends.
#[allow(unsafe_code)]
fn die_with_this_thread(command: &mut Command) {
    let parent = getpid();
    let set_up = move || -> io::Result<()> {
        set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before prctl took effect.
        if getppid() == parent {
            Ok(())
        } else {
            Err(Errno::ESRCH.into())
        }
    };
    // SAFETY: between fork and exec only the system calls prctl and getppid run, which are
    // async-signal-safe; nothing is allocated or locked.
    unsafe { command.pre_exec(set_up) };
}
