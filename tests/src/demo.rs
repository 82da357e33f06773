//! The demo that `make run` starts, and that the tests run the commands of the docs against: a
//! control plane, an Envoy with the filter, an upstream, and a key to try them with.

mod credentials;
mod state;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

pub use self::credentials::DemoCredentials;
pub use self::state::DemoState;
use crate::control_plane::{ControlPlane, ControlPlaneOptions};
use crate::envoy::Envoy;
use crate::envoy_options::EnvoyOptions;
use crate::paths::filter;
use crate::upstream::Upstream;

/// The control plane's grace. The Envoy of an earlier run has ended with it, so the control plane
/// need not wait long for it.
const NODE_GRACE: Duration = Duration::from_secs(1);

/// The first user of a new database.
const ADMIN_EMAIL: &str = "admin@example.com";

/// The ports of a [`Demo`]; each is 0 by default, which takes a free one.
#[derive(Debug, Clone, Copy, Default)]
pub struct DemoPorts {
    /// Envoy, for clients.
    pub gateway: u16,
    /// Envoy's admin interface.
    pub admin: u16,
    /// The control plane's API.
    pub control: u16,
    /// The control plane's stream.
    pub stream: u16,
    /// The upstream service of Envoy.
    pub upstream: u16,
}

/// A running demo. Its parts end in the order of the fields.
#[derive(Debug)]
pub struct Demo {
    envoy: Envoy,
    control_plane: ControlPlane,
    _upstream: Upstream,
}

impl Demo {
    /// Starts the upstream, the control plane and Envoy.
    ///
    /// # Errors
    /// Fails when a part does not come up.
    pub async fn start(ports: &DemoPorts, state: &DemoState) -> Result<Self> {
        let upstream = Upstream::start(local(ports.upstream))?;

        let mut control_plane = ControlPlane::new(control_plane_options(ports, state));
        control_plane.start().await?;
        let node_token = state.node_token(&control_plane).await?;

        let options = EnvoyOptions::new(
            filter()?,
            upstream.address().port(),
            control_plane.stream(),
            &node_token,
            state.dir(),
        );
        let options = EnvoyOptions {
            gateway_port: ports.gateway,
            admin_port: ports.admin,
            ..options
        };
        let envoy = Envoy::start(&options).await?;
        Ok(Self {
            envoy,
            control_plane,
            _upstream: upstream,
        })
    }

    /// Waits until Envoy decides requests, and returns what a user needs to try it. The key is
    /// that of the last run, or a new one when that is lost or no longer admitted.
    ///
    /// # Errors
    /// Fails when Envoy gets no snapshot, or the key cannot be created.
    pub async fn prepare(&self, state: &DemoState) -> Result<DemoCredentials> {
        DemoCredentials::prepare(&self.control_plane, &self.envoy, state).await
    }

    /// Waits until a process ends, and returns which one, with the end of its log.
    pub async fn first_to_end(&mut self) -> String {
        let Ok(mut child_ended) = signal(SignalKind::child()) else {
            return pending().await;
        };
        loop {
            let control_plane = self
                .control_plane
                .process()
                .map(|process| process.still_running());
            for running in [
                self.envoy.process().still_running(),
                control_plane.unwrap_or(Ok(())),
            ] {
                if let Err(ended) = running {
                    return ended.to_string();
                }
            }
            child_ended.recv().await;
        }
    }

    /// Stops Envoy, then the control plane.
    ///
    /// # Errors
    /// Fails when one had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        let envoy = self.envoy.stop().await.context("Envoy");
        self.control_plane.stop().await.context("control plane")?;
        envoy?;
        Ok(())
    }
}

fn control_plane_options(ports: &DemoPorts, state: &DemoState) -> ControlPlaneOptions {
    // A port that Envoy picks is not known yet.
    let gateway = (ports.gateway != 0).then(|| {
        (
            "LATCHKEY_GATEWAY_URL".to_owned(),
            format!("http://{}", local(ports.gateway)),
        )
    });
    let at_rest_key = (
        "LATCHKEY_AT_REST_KEY".to_owned(),
        state.at_rest_key().to_owned(),
    );
    ControlPlaneOptions {
        create_database: true,
        open_files: None,
        http: local(ports.control),
        stream: local(ports.stream),
        database: state.path("latchkey.db"),
        node_token: None,
        admin_email: ADMIN_EMAIL.to_owned(),
        admin_password: state.admin_password().to_owned(),
        node_grace: Some(NODE_GRACE),
        environment: gateway.into_iter().chain([at_rest_key]).collect(),
        dir: state.dir().to_path_buf(),
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
