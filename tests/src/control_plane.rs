//! A real control plane: the process `latchkey serve`. The client for its API is in `api.rs`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::api::http_client;
use crate::loopback::{self, FORKING};
use crate::paths::latchkey_binary;
use crate::process::{Process, read_lossy};
use crate::wait::eventually;

/// The key that encrypts imported keys in the databases of all tests.
const AT_REST_KEY: &str = "a7b51a1e77c3a0a5d6b7a3a9f1d2e3c4b5a697887766554433221100ffeeddcc";

/// The time that it may take to start. Argon2id and the migrations are slow, more so on a busy
/// machine.
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

/// The options with which a control plane is started.
#[derive(Debug, Clone)]
pub struct ControlPlaneOptions {
    /// The address of the API.
    pub http: SocketAddr,
    /// The address of the stream.
    pub stream: SocketAddr,
    /// The database's file.
    pub database: PathBuf,
    /// True if a start creates a database that does not exist.
    pub create_database: bool,
    /// A token that any node may present.
    pub node_token: Option<String>,
    /// The first user.
    pub admin_email: String,
    /// The first user's password.
    pub admin_password: String,
    /// The time for which a node counts as connected after a start or a lost stream.
    pub node_grace: Option<Duration>,
    /// Its limit of open files; by default the test's own.
    pub open_files: Option<u32>,
    /// Additional environment variables.
    pub environment: Vec<(String, String)>,
    /// The directory of the log.
    pub dir: PathBuf,
}

impl ControlPlaneOptions {
    /// Returns options with a new database in `dir` and an unshared loopback address, so that the
    /// ports are still free when the control plane is killed and started again.
    ///
    /// # Errors
    /// Fails when no address is available.
    pub fn on_free_ports(dir: &Path) -> Result<Self> {
        let [http, stream] = loopback::free_ports(loopback::address())?;
        Ok(Self {
            http,
            stream,
            database: dir.join("latchkey.db"),
            create_database: true,
            node_token: Some("a-node-token-of-the-tests".to_owned()),
            admin_email: "admin@example.com".to_owned(),
            admin_password: "a password of the tests".to_owned(),
            node_grace: None,
            open_files: None,
            environment: Vec::new(),
            dir: dir.to_path_buf(),
        })
    }
}

/// A control plane, running or not.
#[derive(Debug)]
pub struct ControlPlane {
    pub(crate) options: ControlPlaneOptions,
    pub(crate) client: reqwest::Client,
    pub(crate) session: OnceCell<String>,
    process: Option<Process>,
}

impl ControlPlane {
    /// Creates a control plane that is not started yet.
    #[must_use]
    pub fn new(options: ControlPlaneOptions) -> Self {
        Self {
            options,
            client: http_client(),
            session: OnceCell::new(),
            process: None,
        }
    }

    /// Starts it and waits until it is ready. After a [`kill`](Self::kill) it has the same ports
    /// and database.
    ///
    /// # Errors
    /// Fails when it does not come up. The error has the end of its log.
    pub async fn start(&mut self) -> Result<()> {
        let options = &self.options;
        let ready_file = options.dir.join("control-plane.ready");
        // Removes the file of an earlier run.
        let _ = std::fs::remove_file(&ready_file);
        let mut command = self.command("serve")?;
        command
            .env("LATCHKEY_HTTP_LISTEN", options.http.to_string())
            .env("LATCHKEY_STREAM_LISTEN", options.stream.to_string())
            .env(
                "LATCHKEY_CREATE_DATABASE",
                options.create_database.to_string(),
            )
            .env("LATCHKEY_ADMIN_EMAIL", &options.admin_email)
            .env("LATCHKEY_ADMIN_PASSWORD", &options.admin_password)
            .env("LATCHKEY_READY_FILE", &ready_file)
            // All clients of a test log in as the same administrator.
            .env("LATCHKEY_CALLS_PER_MINUTE", "0")
            .envs(
                options
                    .node_token
                    .as_ref()
                    .map(|token| ("LATCHKEY_NODE_TOKEN", token)),
            )
            .envs(
                options
                    .node_grace
                    .map(|grace| ("LATCHKEY_NODE_GRACE_MS", grace.as_millis().to_string())),
            )
            .envs(
                options
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            );
        let log = options.dir.join("control-plane.log");
        let mut process = Process::spawn("control plane", &mut command, &log, None)?;

        let ready = eventually(START, async || {
            process.still_running()?;
            let ready: Value = serde_json::from_str(&std::fs::read_to_string(&ready_file)?)?;
            let address = |name: &str| -> Result<SocketAddr> {
                Ok(ready[name]
                    .as_str()
                    .with_context(|| format!("no {name} in the ready file"))?
                    .parse()?)
            };
            let (http, stream) = (address("http")?, address("stream")?);
            let answer = self
                .client
                .get(format!("http://{http}/readyz"))
                .send()
                .await?;
            ensure!(
                answer.status() == 200,
                "/readyz answers {}",
                answer.status()
            );
            Ok((http, stream))
        });
        let (http, stream) = ready.await.context("the control plane is not ready")?;
        (self.options.http, self.options.stream) = (http, stream);
        self.process = Some(process);
        Ok(())
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it with SIGTERM, as an operator does.
    ///
    /// # Errors
    /// Fails when it does not run, or had to be killed.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process()?.stop(STOP).await
    }

    /// Kills it, and starts it again on the same ports and database.
    ///
    /// # Errors
    /// Fails when it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill();
        self.start().await
    }

    /// Forgets the administrator's session, so that the next call opens another.
    pub fn forget_session(&mut self) {
        self.session = OnceCell::new();
    }

    /// Returns the process, to send it signals.
    ///
    /// # Errors
    /// Fails when it does not run.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .context("the control plane does not run")
    }

    /// Runs `backup` or `restore`, which work on the database's file, and returns its output.
    ///
    /// # Errors
    /// Fails when it fails. The error has its output.
    pub fn run(&self, command: &str, arguments: &[&str]) -> Result<String> {
        let mut run = self.command(command)?;
        run.args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let forking = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
        let child = run.spawn()?;
        drop(forking);
        let output = child.wait_with_output()?;
        let reported = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "latchkey {command} ended ({}): {reported}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Returns a command of the binary, on this control plane's database.
    fn command(&self, name: &str) -> Result<Command> {
        let binary = latchkey_binary()?;
        let mut command = match self.options.open_files {
            Some(limit) => {
                let mut limited = Command::new("prlimit");
                limited.arg(format!("--nofile={limit}")).arg(binary);
                limited
            }
            None => Command::new(binary),
        };
        // Removes settings that the caller's own environment may contain.
        std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| is_setting(name))
            .for_each(|name| {
                command.env_remove(name);
            });
        command
            .arg(name)
            .env("LATCHKEY_DATABASE", &self.options.database)
            .env("LATCHKEY_AT_REST_KEY", AT_REST_KEY);
        Ok(command)
    }

    /// Returns its options. Changes take effect at the next start.
    pub fn options(&mut self) -> &mut ControlPlaneOptions {
        &mut self.options
    }

    /// Returns the administrator's email address and password.
    #[must_use]
    pub fn credentials(&self) -> (&str, &str) {
        (&self.options.admin_email, &self.options.admin_password)
    }

    /// Returns the token that any node may present; empty if there is none.
    #[must_use]
    pub fn node_token(&self) -> &str {
        self.options.node_token.as_deref().unwrap_or_default()
    }

    /// Returns the address of the stream.
    #[must_use]
    pub fn stream(&self) -> SocketAddr {
        self.options.stream
    }

    /// Returns its log, including earlier runs.
    #[must_use]
    pub fn log(&self) -> String {
        read_lossy(&self.options.dir.join("control-plane.log"))
    }
}

fn is_setting(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("LATCHKEY_")
}
