//! The control plane as a process of its own.

use super::NODE_TOKEN;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A process that is killed if a test forgets it.
pub(crate) struct Process(pub(super) Option<Child>);

impl Process {
    pub(crate) fn start(directory: &Path, flags: &[&str]) -> Self {
        Self::start_with(directory, flags, &[("LATCHKEY_NODE_TOKEN", NODE_TOKEN)])
    }

    /// Starts the binary with these environment variables.
    pub(crate) fn start_with(
        directory: &Path,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .args([
                "serve",
                "--http-listen=127.0.0.1:0",
                "--stream-listen=127.0.0.1:0",
                "--ready-file=ready.json",
            ])
            .arg("--create-database")
            .args(flags)
            .current_dir(directory)
            .env_clear()
            .envs(environment.iter().copied())
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            // A full pipe would block the process.
            .stderr(
                fs::File::options()
                    .create(true)
                    .append(true)
                    .open(directory.join("log"))
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        Self(Some(child))
    }

    /// Returns the API's URL, once it is ready.
    pub(crate) fn http(&self, directory: &Path) -> String {
        self.address(directory, "http")
    }

    pub(crate) fn address(&self, directory: &Path, of: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(text) = fs::read_to_string(directory.join("ready.json")) {
                let ready: Value = serde_json::from_str(&text).unwrap();
                return format!("http://{}", ready[of].as_str().unwrap());
            }
            assert!(
                Instant::now() < deadline,
                "not ready: {}",
                fs::read_to_string(directory.join("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends the signal, waits for the end, and returns stdout.
    pub(crate) fn stop(mut self, signal: Signal) -> String {
        self.signal(signal);
        let mut child = self.0.take().unwrap();
        let mut stdout = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        assert!(child.wait().unwrap().success());
        stdout
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(self.0.as_ref().unwrap().id().try_into().unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Returns the memory in MB, by its name in `/proc/PID/status`: `VmRSS` is the resident memory,
    /// `VmHWM` its maximum so far.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.0.as_ref().unwrap().id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap();
        line.trim()
            .strip_suffix(" kB")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1_024
    }

    /// Waits until the process has ended.
    pub(crate) fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Errors are ignored, so that the test's own failure is reported.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
