//! The credentials that a user needs to try a demo: its addresses, the administrator, and a key.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::state::DemoState;
use crate::api::{CreatedKey, Refused, http_client};
use crate::control_plane::ControlPlane;
use crate::envoy::Envoy;
use crate::files::write_private;
use crate::wait::eventually;

const FILE: &str = "demo.env";
/// The name of the file until this run is ready: `demo.env` exists only while all parts work.
const LAST_RUN: &str = "demo.env.last";

/// The time that Envoy may take to load its first snapshot, and to learn of a new key.
const SNAPSHOT: Duration = Duration::from_secs(15);

/// The content of `demo.env`.
#[derive(Debug)]
pub struct DemoCredentials {
    /// The address where Envoy accepts requests.
    pub gateway_url: String,
    /// The address of the control plane's API and console.
    pub control_url: String,
    /// The administrator's email address.
    pub admin_email: String,
    /// The administrator's password.
    pub admin_password: String,
    /// The key to try.
    pub key: CreatedKey,
}

impl DemoCredentials {
    pub(super) async fn prepare(
        control_plane: &ControlPlane,
        envoy: &Envoy,
        state: &DemoState,
    ) -> Result<Self> {
        let (file, last_run) = (state.path(FILE), state.path(LAST_RUN));
        if file.exists() {
            fs::rename(&file, &last_run)?;
        }
        wait_for_snapshot(control_plane, envoy).await?;

        let last = fs::read_to_string(&last_run)
            .ok()
            .and_then(|text| key_in(&text));
        let key = match last {
            Some(key) if status(envoy, Some(&key)).await? == 200 => key,
            _ => new_key(control_plane).await?,
        };
        let admits = async || ensure_is(200, status(envoy, Some(&key)).await?);
        eventually(SNAPSHOT, admits)
            .await
            .context("Envoy does not admit the demo key")?;

        let (email, password) = control_plane.credentials();
        Ok(Self {
            gateway_url: envoy.url(""),
            control_url: control_plane.url(""),
            admin_email: email.to_owned(),
            admin_password: password.to_owned(),
            key,
        })
    }

    /// Returns each variable of `demo.env` with its value.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, &str); 6] {
        [
            ("GATEWAY_URL", &self.gateway_url),
            ("CONTROL_URL", &self.control_url),
            ("ADMIN_EMAIL", &self.admin_email),
            ("ADMIN_PASSWORD", &self.admin_password),
            ("DEMO_KEY", &self.key.api_key),
            ("DEMO_KEY_ID", &self.key.key_id),
        ]
    }

    /// Writes `demo.env`, which says that the demo is ready.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn write(&self, state: &DemoState) -> Result<()> {
        // No value has a character that is special to a shell.
        let text: String = self
            .variables()
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        write_private(&state.path(FILE), &text)?;
        // There is no such file after a first run.
        let _ = fs::remove_file(state.path(LAST_RUN));
        Ok(())
    }
}

/// Waits until Envoy decides requests, and is the only Envoy that the control plane counts.
async fn wait_for_snapshot(control_plane: &ControlPlane, envoy: &Envoy) -> Result<()> {
    let decides = async || ensure_is(401, status(envoy, None).await?);
    eventually(SNAPSHOT, decides)
        .await
        .context("Envoy has no snapshot yet")?;
    let alone = async || {
        let nodes = control_plane.nodes().await?.len();
        ensure!(nodes == 1, "the control plane counts {nodes} Envoys");
        Ok(())
    };
    eventually(SNAPSHOT, alone)
        .await
        .context("an Envoy of an earlier run still counts")
}

/// Creates a key under the first free name: an earlier key whose secret is lost may still exist.
async fn new_key(control_plane: &ControlPlane) -> Result<CreatedKey> {
    let mut number = 1;
    loop {
        let name = if number == 1 {
            "demo".to_owned()
        } else {
            format!("demo {number}")
        };
        match control_plane
            .create_key(json!({ "name": name, "description": "Made by make run." }))
            .await
        {
            Err(error)
                if number < 100
                    && error
                        .downcast_ref()
                        .is_some_and(|Refused { status, .. }| *status == 409) =>
            {
                number += 1;
            }
            created => return created.context("cannot create the demo key"),
        }
    }
}

/// Reads the key from an earlier `demo.env`.
fn key_in(text: &str) -> Option<CreatedKey> {
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    Some(CreatedKey {
        key_id: value("DEMO_KEY_ID")?,
        api_key: value("DEMO_KEY")?,
    })
}

/// Returns the status of Envoy's response to a request with this key.
async fn status(envoy: &Envoy, key: Option<&CreatedKey>) -> Result<u16> {
    let mut request = http_client().get(envoy.url("/"));
    if let Some(key) = key {
        request = request.header("x-api-key", &key.api_key);
    }
    Ok(request.send().await?.status().as_u16())
}

fn ensure_is(expected: u16, status: u16) -> Result<()> {
    ensure!(
        status == expected,
        "Envoy answers {status} where {expected} is due"
    );
    Ok(())
}
