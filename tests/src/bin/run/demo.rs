//! The key to try Latchkey with, and the lines that say how.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::{
    ControlPlane, CreatedKey, Envoy, Refused, eventually, http_client, write_private,
};
use serde_json::json;

use crate::settings::State;

const FILE: &str = "demo.env";
/// Where the file is while this run is not ready yet: that it is there means that all is.
const LAST_RUN: &str = "demo.env.last";

/// How long Envoy may take to have its first snapshot, and to hear of a new key.
const SNAPSHOT: Duration = Duration::from_secs(15);

pub(crate) struct Demo {
    gateway: String,
    control_plane: String,
    email: String,
    password: String,
    key: CreatedKey,
}

impl Demo {
    /// Takes the last run's key, or makes one when that is lost or no longer admits.
    pub(crate) async fn prepare(
        control_plane: &ControlPlane,
        envoy: &Envoy,
        state: &State,
    ) -> Result<Self> {
        let (file, last_run) = (state.path(FILE), state.path(LAST_RUN));
        if file.exists() {
            fs::rename(&file, &last_run)?;
        }
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
            .context("an Envoy of an earlier run still counts")?;

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
            gateway: envoy.url(""),
            control_plane: control_plane.url(""),
            email: email.to_owned(),
            password: password.to_owned(),
            key,
        })
    }

    pub(crate) fn write(&self, state: &State) -> Result<()> {
        let lines = [
            ("GATEWAY_URL", &self.gateway),
            ("CONTROL_URL", &self.control_plane),
            ("ADMIN_EMAIL", &self.email),
            ("ADMIN_PASSWORD", &self.password),
            ("DEMO_KEY", &self.key.api_key),
            ("DEMO_KEY_ID", &self.key.key_id),
        ];
        // None of these has a character that a shell minds.
        let text: String = lines
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        write_private(&state.path(FILE), &text)?;
        // There is none after a first run.
        let _ = fs::remove_file(state.path(LAST_RUN));
        Ok(())
    }

    pub(crate) fn explain(&self) {
        let Self {
            gateway,
            control_plane,
            email,
            ..
        } = self;
        println!(
            r#"
Latchkey is ready: gateway {gateway}, control plane {control_plane}, logs in .run/. Ctrl-C ends it.
The console is at {control_plane}/console: log in as {email}, with ADMIN_PASSWORD of .run/demo.env.
Try it in another terminal, in this directory:

Without a key, Envoy refuses (401 missing_key):
  . .run/demo.env; curl -i $GATEWAY_URL/hello

With the key it admits (200), and the upstream shows which headers reached it:
  . .run/demo.env; curl -i -H "X-API-Key: $DEMO_KEY" $GATEWAY_URL/hello

Revoked, the key is refused (401 invalid_key) from the answer on:
  . .run/demo.env; TOKEN=$(curl -s -H 'Content-Type: application/json' -d "{{\"email\":\"$ADMIN_EMAIL\",\"password\":\"$ADMIN_PASSWORD\"}}" $CONTROL_URL/v1/sessions | sed 's/.*"token": *"\([^"]*\)".*/\1/'); curl -s -X DELETE -H "Authorization: Bearer $TOKEN" $CONTROL_URL/v1/keys/$DEMO_KEY_ID; echo; curl -i -H "X-API-Key: $DEMO_KEY" $GATEWAY_URL/hello
"#
        );
    }
}

/// Makes a key. Its name is the first one that is free: an earlier key whose secret is lost may
/// still be there.
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
            made => return made.context("cannot make the demo key"),
        }
    }
}

/// The key in an earlier `demo.env`.
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

/// What Envoy answers to a request with this key.
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
