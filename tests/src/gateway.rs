//! A control plane, an Envoy and an upstream, connected: the starting point of most tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::header::HeaderMap;
use serde_json::Value;
use tempfile::TempDir;

use crate::api::http_client;
use crate::control_plane::{ControlPlane, ControlPlaneOptions};
use crate::envoy::Envoy;
use crate::envoy_options::EnvoyOptions;
use crate::paths::filter;
use crate::process::{read_lossy, tail};
use crate::upstream::Upstream;
use crate::wait::eventually;

/// The time that a new Envoy may take to get its first snapshot.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(15);

/// A whole Latchkey. Everything in it ends when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    /// The Envoy. The fields are dropped in this order: a client before the servers that it
    /// connects to.
    pub envoy: Envoy,
    /// The control plane, which owns the keys.
    pub control_plane: ControlPlane,
    /// The upstream, which gets the requests that Envoy admits.
    pub upstream: Upstream,
    /// A client for requests to Envoy.
    pub client: reqwest::Client,
    options: EnvoyOptions,
    dir: Arc<TempDir>,
}

/// A response of Envoy.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The response's headers.
    pub headers: HeaderMap,
    /// The body, if it is JSON: the error body, or the request as it reached the upstream.
    pub body: Value,
}

impl Answer {
    /// Reads the whole response.
    ///
    /// # Errors
    /// Fails when it breaks off.
    pub async fn read(response: reqwest::Response) -> Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null);
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// Returns the verdict's code, such as `missing_key`; empty if the request passed.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Returns the first value of a header that reached the upstream.
    #[must_use]
    pub fn reached_upstream(&self, header: &str) -> Option<&str> {
        self.body["headers"][header][0].as_str()
    }
}

impl Gateway {
    /// Starts the shipped configuration with two workers, and waits until the filter decides.
    ///
    /// # Panics
    /// Panics when any part does not come up.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns a builder for a gateway that differs from the defaults.
    #[must_use]
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// Sends one GET to Envoy, with `key` as `x-api-key`.
    ///
    /// # Panics
    /// Panics when there is no answer.
    pub async fn ask(&self, path: &str, key: Option<&str>) -> Answer {
        let header = key.map(|key| ("x-api-key", key));
        self.ask_with(path, header.as_slice()).await
    }

    /// Sends one GET to Envoy with these headers.
    ///
    /// # Panics
    /// Panics when there is no answer.
    pub async fn ask_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.get(self.envoy.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.unwrap()).await.unwrap()
    }

    /// Waits until the filter decides, which it does once it has a snapshot.
    ///
    /// # Errors
    /// Fails when the filter does not decide in time.
    pub async fn ready(&self) -> Result<()> {
        decides(&self.client, &self.envoy).await
    }

    /// Returns the options of this gateway's Envoy. With a different `node_id` they start a second
    /// Envoy.
    #[must_use]
    pub fn envoy_options(&self) -> EnvoyOptions {
        self.options.clone()
    }

    /// Stops Envoy, and starts a new process with the same options but other ports.
    ///
    /// # Errors
    /// Fails when it does not end or does not come up.
    pub async fn restart_envoy(&mut self) -> Result<()> {
        self.envoy.stop().await?;
        self.envoy = Envoy::start(&self.options).await?;
        self.ready().await
    }

    /// Starts another Envoy on the same control plane and upstream, and waits until its filter
    /// decides.
    ///
    /// # Errors
    /// Fails when it does not come up.
    pub async fn another_envoy(&self, node_id: &str) -> Result<Envoy> {
        let envoy = Envoy::start(&EnvoyOptions {
            node_id: node_id.to_owned(),
            ..self.envoy_options()
        })
        .await?;
        decides(&self.client, &envoy).await?;
        Ok(envoy)
    }

    /// Returns the logs of all parts, for tests that search them for secrets.
    #[must_use]
    pub fn logs(&self) -> String {
        log_files(self.dir())
            .map(|path| read_lossy(&path))
            .collect()
    }

    /// Returns the directory of the configuration, the database and the logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// Returns an error until the filter decides. Then the answer without a key is 401 rather than 503,
/// or 200 where a missing key is shadowed. The answer of one worker is enough: they read the same
/// snapshot.
async fn decides(client: &reqwest::Client, envoy: &Envoy) -> Result<()> {
    let decides = eventually(FIRST_SNAPSHOT, async || {
        let answer = Answer::read(client.get(envoy.url("/")).send().await?).await?;
        ensure!(
            matches!(answer.status, 200 | 401),
            "a request without a key gets {} {}",
            answer.status,
            answer.body
        );
        Ok(())
    });
    decides.await.context("the filter does not decide yet")
}

type Change<T> = Box<dyn FnOnce(&mut T)>;

/// The differences of a [`Gateway`] from the shipped one.
#[derive(Default)]
pub struct GatewayBuilder {
    filter: Option<PathBuf>,
    envoy: Vec<Change<EnvoyOptions>>,
    control_plane: Vec<Change<ControlPlaneOptions>>,
    without_control_plane: bool,
    without_waiting: bool,
}

impl std::fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayBuilder").finish_non_exhaustive()
    }
}

impl GatewayBuilder {
    /// Changes Envoy's options, for example by `|envoy| envoy.guard = false`.
    #[must_use]
    pub fn envoy(mut self, change: impl FnOnce(&mut EnvoyOptions) + 'static) -> Self {
        self.envoy.push(Box::new(change));
        self
    }

    /// Changes the control plane's options.
    #[must_use]
    pub fn control_plane(
        mut self,
        change: impl FnOnce(&mut ControlPlaneOptions) + 'static,
    ) -> Self {
        self.control_plane.push(Box::new(change));
        self
    }

    /// Uses another filter than the shipped one.
    #[must_use]
    pub fn filter(mut self, wasm: PathBuf) -> Self {
        self.filter = Some(wasm);
        self
    }

    /// Starts only Envoy. The control plane has its address already, and can be started later.
    #[must_use]
    pub fn without_control_plane(mut self) -> Self {
        self.without_control_plane = true;
        self.without_waiting()
    }

    /// Does not wait until the filter decides, for a filter that never will.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.without_waiting = true;
        self
    }

    /// Starts all parts.
    ///
    /// # Panics
    /// Panics when one does not come up. The message has the end of every log.
    pub async fn start(self) -> Gateway {
        let dir = temporary_dir().unwrap();
        match self.start_in(dir.clone()).await {
            Ok(gateway) => gateway,
            Err(error) => panic!("{error:#}\n{}", tails(dir.path())),
        }
    }

    /// Starts all parts.
    ///
    /// # Errors
    /// Fails when one does not come up.
    pub async fn try_start(self) -> Result<Gateway> {
        self.start_in(temporary_dir()?).await
    }

    async fn start_in(self, dir: Arc<TempDir>) -> Result<Gateway> {
        let upstream = Upstream::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let mut control_plane_options = ControlPlaneOptions::on_free_ports(dir.path())?;
        self.control_plane
            .into_iter()
            .for_each(|change| change(&mut control_plane_options));
        let mut control_plane = ControlPlane::new(control_plane_options);
        let node_token = control_plane.node_token().to_owned();
        if !self.without_control_plane {
            control_plane.start().await?;
        }
        let filter = self.filter.map_or_else(filter, Ok)?;
        let port = upstream.address().port();
        let mut options = EnvoyOptions::new(
            filter,
            port,
            control_plane.stream(),
            &node_token,
            dir.path(),
        );
        self.envoy
            .into_iter()
            .for_each(|change| change(&mut options));
        let envoy = Envoy::start(&options).await?;
        let gateway = Gateway {
            envoy,
            control_plane,
            upstream,
            client: http_client(),
            options,
            dir,
        };
        if !self.without_waiting {
            gateway.ready().await?;
        }
        Ok(gateway)
    }
}

/// It is shared, so that the logs of a gateway that does not come up can still be shown.
fn temporary_dir() -> Result<Arc<TempDir>> {
    Ok(Arc::new(
        tempfile::Builder::new()
            .prefix("latchkey-test-")
            .tempdir()?,
    ))
}

fn tails(dir: &Path) -> String {
    log_files(dir)
        .map(|path| format!("--- {}\n{}", path.display(), tail(&path)))
        .collect()
}

fn log_files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log"))
}
