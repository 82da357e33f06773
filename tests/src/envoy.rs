//! A real Envoy with the filter in it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::api::http_client;
use crate::cores::while_on;
use crate::envoy_options::EnvoyOptions;
use crate::files::write_private;
use crate::hot_restart::{HotRestart, SharedMemory};
use crate::listeners::{self, FIRST_VERSION};
use crate::paths::envoy_binary;
use crate::process::{Process, read_lossy};
use crate::wait::eventually;

/// The time that Envoy may take to start, on a busy machine.
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    /// The options of the last start or update.
    pub(crate) options: EnvoyOptions,
    process: Process,
    access_log: PathBuf,
    admin: SocketAddr,
    gateway: SocketAddr,
    /// The version of the listeners' file.
    pub(crate) version: u64,
    client: reqwest::Client,
    /// The memory that a predecessor shares with its successor.
    shared_memory: Option<SharedMemory>,
}

impl Envoy {
    /// Starts Envoy and waits until its workers accept requests. The filter may not have a snapshot
    /// yet.
    ///
    /// # Errors
    /// Fails when it does not come up, such as when the filter refuses its configuration. The error
    /// has the end of its log.
    pub async fn start(options: &EnvoyOptions) -> Result<Self> {
        let bootstrap = options.file(".yaml");
        write_private(&bootstrap, &listeners::split_off(options, FIRST_VERSION)?)?;
        let admin_file = options.file(".admin");
        // Removes the file of an earlier Envoy.
        let _ = std::fs::remove_file(&admin_file);
        let base_id_file = options.file(".base-id");
        let access_log = options.file("-access.log");

        let mut command = Command::new(envoy_binary()?);
        command.envs(
            options
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        command.arg("--config-path").arg(&bootstrap);
        command.args([
            "--service-node",
            &options.node_id,
            "--service-cluster",
            "latchkey",
        ]);
        command.args(["--concurrency", &options.concurrency.to_string()]);
        options
            .hot_restart
            .add_arguments(&mut command, &base_id_file);
        if let Some(time) = options.drain_time {
            command.args(["--drain-time-s", &time.as_secs().to_string()]);
        }
        command.arg("--admin-address-path").arg(&admin_file);
        command.args([
            "--log-level",
            "warning",
            "--component-log-level",
            "wasm:info",
        ]);
        command.args(["--file-flush-interval-msec", "50"]);
        let spawn = || {
            Process::spawn(
                &options.node_id,
                &mut command,
                &options.file(".log"),
                Some(&access_log),
            )
        };
        let mut process = while_on(options.core, spawn)?;

        let client = http_client();
        let admin = eventually(START, async || {
            process.still_running()?;
            let address = std::fs::read_to_string(&admin_file)?
                .trim()
                .parse::<SocketAddr>()?;
            let ready = client.get(format!("http://{address}/ready")).send().await?;
            ensure!(ready.status() == 200, "/ready answers {}", ready.status());
            Ok(address)
        });
        let admin = admin
            .await
            .with_context(|| format!("{} is not ready", options.node_id))?;
        let predecessor = options.hot_restart == HotRestart::Predecessor;
        let shared_memory = predecessor
            .then(|| SharedMemory::from_file(&base_id_file))
            .transpose()?;
        let (options, version, gateway) = (options.clone(), FIRST_VERSION, admin);
        let mut envoy = Self {
            options,
            process,
            access_log,
            admin,
            gateway,
            version,
            client,
            shared_memory,
        };
        envoy.find_gateway().await?;
        Ok(envoy)
    }

    /// Returns the URL of `path` at the gateway, such as `http://127.0.0.1:40123/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway)
    }

    /// Returns the address where the gateway listens.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Looks up the address where the gateway listens.
    pub(crate) async fn find_gateway(&mut self) -> Result<()> {
        self.gateway = self.listener("gateway").await?;
        Ok(())
    }

    /// Returns a page of Envoy's admin interface, such as `/stats`.
    ///
    /// # Errors
    /// Fails when it does not answer 200.
    pub async fn admin_get(&self, path: &str) -> Result<String> {
        let response = self
            .client
            .get(format!("http://{}{path}", self.admin))
            .send()
            .await?
            .error_for_status()?;
        Ok(response.text().await?)
    }

    /// Posts to Envoy's admin interface, such as to `/drain_listeners`.
    ///
    /// # Errors
    /// Fails when it does not answer 200.
    pub async fn admin_post(&self, path: &str) -> Result<()> {
        self.client
            .post(format!("http://{}{path}", self.admin))
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Returns a counter or gauge, such as `wasmcustom.latchkey_requests.allowed`.
    ///
    /// # Errors
    /// Fails when there is none with that name (yet).
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let page = self.admin_get(&format!("/stats?filter=^{name}$")).await?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value
            .with_context(|| format!("Envoy has no stat {name}"))?
            .trim()
            .parse()?)
    }

    /// Returns the base id by which a [`HotRestart::Successor`] finds it.
    ///
    /// # Errors
    /// Fails when it is not a predecessor.
    pub fn base_id(&self) -> Result<u32> {
        Ok(self
            .shared_memory
            .as_ref()
            .context("no predecessor")?
            .base_id)
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns the process, to send it signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Returns the resident memory, in bytes.
    ///
    /// # Errors
    /// Fails when the process has ended.
    pub fn rss_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: u64 = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .context("no VmRSS")?
            .parse()?;
        Ok(kilobytes * 1024)
    }

    /// Returns the ids of the worker threads.
    ///
    /// # Errors
    /// Fails when the process has ended.
    pub fn workers(&self) -> Result<Vec<u32>> {
        let mut workers = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let thread = thread?;
            // A thread may end after it was listed.
            let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            if name.starts_with("wrk:worker_") {
                workers.push(thread.file_name().to_string_lossy().parse()?);
            }
        }
        Ok(workers)
    }

    /// Stops it with SIGTERM, as an operator does.
    ///
    /// # Errors
    /// Fails when it had to be killed.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process.stop(STOP).await
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Returns the log of Envoy and the filter.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the lines of the access log. A line is there within 50 ms of the request's end.
    #[must_use]
    pub fn access_log(&self) -> Vec<Value> {
        // The last line may be incomplete.
        read_lossy(&self.access_log)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Returns the address of the listener with that name.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        let page: Value = serde_json::from_str(&self.admin_get("/listeners?format=json").await?)?;
        let listeners = page["listener_statuses"]
            .as_array()
            .context("no listeners")?;
        let listener = listeners.iter().find(|listener| listener["name"] == name);
        let address = &listener.ok_or_else(|| anyhow!("no listener {name}"))?["local_address"]["socket_address"];
        let ip = address["address"]
            .as_str()
            .context("a listener without an address")?
            .parse()?;
        let port = address["port_value"]
            .as_u64()
            .context("a listener without a port")?;
        Ok(SocketAddr::new(ip, u16::try_from(port)?))
    }
}
