//! A control plane with a given number of keys, and an Envoy that follows it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::{
    ControlPlane, ControlPlaneOptions, Envoy, EnvoyOptions, eventually, filter, http_client,
};
use serde_json::Value;

use super::full;
use crate::cores::Cores;
use crate::keys;

/// The time that an Envoy may take to get its snapshot.
const SNAPSHOT: Duration = Duration::from_secs(60);

/// The control plane and the Envoy. They end when this is dropped, Envoy first.
pub(crate) struct Latchkey {
    pub(crate) envoy: Envoy,
    pub(crate) _control_plane: ControlPlane,
}

impl Latchkey {
    /// Starts both with `count` keys from 0, each with the settings for its number, and with a
    /// change to the filter's shipped configuration.
    pub(crate) async fn start(
        id: &str,
        dir: &Path,
        cores: Cores,
        count: usize,
        settings: impl Fn(usize) -> Value,
        configuration: Value,
    ) -> Result<Self> {
        let control_plane = control_plane(id, dir).await?;
        keys::import(&control_plane, 0..count, settings).await?;
        Self::follow(id, dir, cores, control_plane, count, configuration).await
    }

    /// Starts an Envoy at a control plane that has its keys already.
    pub(crate) async fn follow(
        id: &str,
        dir: &Path,
        cores: Cores,
        control_plane: ControlPlane,
        count: usize,
        configuration: Value,
    ) -> Result<Self> {
        let token = control_plane.node_token().to_owned();
        let options = EnvoyOptions {
            node_id: id.to_owned(),
            configuration,
            ..envoy_options(dir, cores, control_plane.stream(), &token)?
        };
        let envoy = Envoy::start(&options).await?;
        admits(&envoy, count.saturating_sub(1)).await?;
        Ok(Self {
            envoy,
            _control_plane: control_plane,
        })
    }
}

/// Starts a new control plane, with its database in `dir`.
pub(crate) async fn control_plane(id: &str, dir: &Path) -> Result<ControlPlane> {
    let mut options = ControlPlaneOptions::on_free_ports(dir)?;
    options.dir = dir.join(id);
    options.database = options.dir.join("latchkey.db");
    std::fs::create_dir_all(&options.dir)?;
    let mut control_plane = ControlPlane::new(options);
    control_plane.start().await?;
    Ok(control_plane)
}

/// Returns the options of an Envoy with one worker, on Envoy's core, which answers requests itself.
pub(crate) fn envoy_options(
    dir: &Path,
    cores: Cores,
    stream: SocketAddr,
    token: &str,
) -> Result<EnvoyOptions> {
    // The upstream's port is unused.
    let mut options = EnvoyOptions::new(filter()?, 9, stream, token, dir);
    options.concurrency = 1;
    options.answers_itself = true;
    options.core = Some(cores.envoy);
    Ok(options)
}

/// Waits until requests with the key of that number pass.
pub(crate) async fn admits(envoy: &Envoy, number: usize) -> Result<()> {
    let (client, key) = (http_client(), keys::key(number));
    let (_, path) = full::TARGETS[0];
    let passes = eventually(SNAPSHOT, async || {
        let answer = client
            .get(envoy.url(path))
            .header("x-api-key", key.expose())
            .send()
            .await?;
        ensure!(
            answer.status() == 200,
            "{}: {}",
            answer.status(),
            answer.text().await?
        );
        Ok(())
    });
    passes
        .await
        .with_context(|| format!("key {number} does not pass"))
}
