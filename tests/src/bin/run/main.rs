//! `make run`: Latchkey as a whole on this machine, in the foreground, with a key to try it with.

mod demo;
mod settings;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use latchkey_tests::{
    ControlPlane, ControlPlaneOptions, Envoy, EnvoyOptions, Upstream, envoy_binary, filter,
    latchkey_binary,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::demo::Demo;
use crate::settings::{Settings, State};

/// The Envoy of an earlier run has ended with it, so nobody needs to be told for long that it may
/// still be serving.
const NODE_GRACE: Duration = Duration::from_secs(1);

/// The first user of a new database.
const ADMIN_EMAIL: &str = "admin@example.com";

// On one thread: the children end with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latchkey-run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let settings = Settings::from_environment()?;
    settings.check_ports()?;
    // Before anything is started, so that what is missing is all that there is to read about.
    latchkey_binary()?;
    filter()?;
    envoy_binary()?;
    let state = State::open()?;

    let mut parts = tokio::select! {
        parts = Parts::start(&settings, &state) => parts?,
        () = either(&mut interrupt, &mut terminate) => return Ok(()),
    };
    let demo = tokio::select! {
        demo = Demo::prepare(&parts.control_plane, &parts.envoy, &state) => demo?,
        () = either(&mut interrupt, &mut terminate) => return parts.stop().await,
    };
    demo.write(&state)?;
    demo.explain();

    let ended = tokio::select! {
        ended = parts.first_to_end() => Some(ended),
        () = either(&mut interrupt, &mut terminate) => None,
    };
    match ended {
        None => parts.stop().await,
        Some(message) => {
            // The message is what counts; that another part ended badly, too, is no news.
            let _ = parts.stop().await;
            bail!("{message}")
        }
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! { _ = one.recv() => {} _ = other.recv() => {} }
}

/// All that runs, in the order in which it ends.
struct Parts {
    envoy: Envoy,
    control_plane: ControlPlane,
    _upstream: Upstream,
}

impl Parts {
    async fn start(settings: &Settings, state: &State) -> Result<Self> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let upstream = Upstream::start(local(settings.upstream_port))?;
        eprintln!("latchkey-run: starting the control plane");
        // Any free port is only known once Envoy has it.
        let gateway = (settings.gateway_port != 0).then(|| {
            (
                "LATCHKEY_GATEWAY_URL".to_owned(),
                format!("http://{}", local(settings.gateway_port)),
            )
        });
        let at_rest_key = ("LATCHKEY_AT_REST_KEY".to_owned(), state.at_rest_key.clone());
        let mut control_plane = ControlPlane::new(ControlPlaneOptions {
            create_database: true,
            open_files: None,
            http: local(settings.control_port),
            stream: local(settings.stream_port),
            database: state.path("latchkey.db"),
            node_token: None,
            admin_email: ADMIN_EMAIL.to_owned(),
            admin_password: state.admin_password.clone(),
            node_grace: Some(NODE_GRACE),
            environment: gateway.into_iter().chain([at_rest_key]).collect(),
            dir: state.dir.clone(),
        });
        control_plane.start().await?;
        let node_token = state.node_token(&control_plane).await?;
        eprintln!("latchkey-run: starting Envoy");
        let port = upstream.address().port();
        let options = EnvoyOptions::new(
            filter()?,
            port,
            control_plane.stream(),
            &node_token,
            &state.dir,
        );
        let options = EnvoyOptions {
            gateway_port: settings.gateway_port,
            admin_port: settings.admin_port,
            ..options
        };
        let envoy = Envoy::start(&options).await?;
        Ok(Self {
            envoy,
            control_plane,
            _upstream: upstream,
        })
    }

    /// Waits until a process ends by itself; says which, and how its log ends.
    async fn first_to_end(&mut self) -> String {
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

    async fn stop(&mut self) -> Result<()> {
        eprintln!("latchkey-run: ending");
        let envoy = self.envoy.stop().await.context("Envoy");
        self.control_plane.stop().await.context("control plane")?;
        envoy?;
        Ok(())
    }
}
