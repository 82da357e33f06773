//! What the environment says, and what is kept between runs in `.run/`.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use latchkey_tests::{ControlPlane, random_hex, workspace, write_private};
use reqwest::Method;
use serde_json::{Value, json};

/// The name of the node token that is created for Envoy.
const NODE_TOKEN: &str = "make-run";

/// The ports, each from the variable of its name; 0 takes a free one.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `GATEWAY_PORT`, 10000.
    pub gateway_port: u16,
    /// `ADMIN_PORT`, 9901: Envoy's admin page.
    pub admin_port: u16,
    /// `CONTROL_PORT`, 8080: the control plane's API.
    pub control_port: u16,
    /// `STREAM_PORT`, 8081: the control plane's stream.
    pub stream_port: u16,
    /// `UPSTREAM_PORT`, 8082: the service behind Envoy.
    pub upstream_port: u16,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self> {
        Ok(Self {
            gateway_port: port("GATEWAY_PORT", 10_000)?,
            admin_port: port("ADMIN_PORT", 9901)?,
            control_port: port("CONTROL_PORT", 8080)?,
            stream_port: port("STREAM_PORT", 8081)?,
            upstream_port: port("UPSTREAM_PORT", 8082)?,
        })
    }

    /// Fails, naming port and variable, when a port is taken or stands twice.
    pub(crate) fn check_ports(&self) -> Result<()> {
        let ports = [
            ("GATEWAY_PORT", self.gateway_port),
            ("ADMIN_PORT", self.admin_port),
            ("CONTROL_PORT", self.control_port),
            ("STREAM_PORT", self.stream_port),
            ("UPSTREAM_PORT", self.upstream_port),
        ];
        // All are held until all are checked, so that the same port twice is noticed.
        let mut held = Vec::new();
        for (variable, port) in ports {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(listener) => held.push((listener, variable, port)),
                Err(error) => {
                    if let Some((_, other, _)) = held.iter().find(|(_, _, taken)| *taken == port) {
                        bail!("{variable} and {other} are both {port}");
                    }
                    if error.kind() == ErrorKind::AddrInUse {
                        bail!("port {port} is taken; set {variable} to use another");
                    }
                    return Err(error)
                        .with_context(|| format!("port {port} cannot be used ({variable})"));
                }
            }
        }
        Ok(())
    }
}

fn port(variable: &str, default: u16) -> Result<u16> {
    match std::env::var_os(variable).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => {
            let port = text.to_str().and_then(|text| text.parse().ok());
            port.with_context(|| format!("{variable} is {}, which is no port", text.display()))
        }
    }
}

/// The directory `.run/` and its secrets.
#[derive(Debug)]
pub(crate) struct State {
    pub dir: PathBuf,
    pub admin_password: String,
    /// What encrypts imported keys in the database.
    pub at_rest_key: String,
}

impl State {
    /// Makes what is not there yet, and clears away the logs of the last run.
    pub(crate) fn open() -> Result<Self> {
        let dir = workspace().join(".run");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                fs::remove_file(path)?;
            }
        }
        let password = dir.join("admin-password");
        if dir.join("latchkey.db").exists() && !password.exists() {
            bail!(
                "{} is gone, but not the database that it opens: remove .run/ to begin anew",
                password.display()
            );
        }
        let admin_password = secret(&password)?;
        let at_rest_key = secret(&dir.join("at-rest-key"))?;
        Ok(Self {
            dir,
            admin_password,
            at_rest_key,
        })
    }

    /// The node token that Envoy presents: the last run's, or a new one if the database does not
    /// have that.
    pub(crate) async fn node_token(&self, control_plane: &ControlPlane) -> Result<String> {
        let path = self.path("node-token");
        let tokens = control_plane.get("/v1/node-tokens").await?;
        let tokens = tokens["node_tokens"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let exists = tokens
            .iter()
            .any(|token| token["name"] == NODE_TOKEN && token["revoked_at"].is_null());
        match fs::read_to_string(&path) {
            Ok(token) if exists => return Ok(token.trim_end().to_owned()),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| path.display().to_string());
            }
            _ => {}
        }
        if exists {
            // Its secret is gone.
            control_plane
                .call(
                    Method::DELETE,
                    &format!("/v1/node-tokens/{NODE_TOKEN}"),
                    Value::Null,
                )
                .await?;
        }
        let token = json!({ "name": NODE_TOKEN, "node": "*" });
        let token = control_plane
            .call(Method::POST, "/v1/node-tokens", token)
            .await?;
        let token = token["node_token"]
            .as_str()
            .context("a node token without its secret")?;
        write_private(&path, &format!("{token}\n"))?;
        Ok(token.to_owned())
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }
}

/// Reads a secret, or makes one.
fn secret(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let secret = random_hex(32)?;
            write_private(path, &format!("{secret}\n"))?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
