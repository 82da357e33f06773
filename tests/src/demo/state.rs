//! The directory of a demo, and the secrets that it keeps between runs.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::files::{random_hex, write_private};

/// The name of the node token that is created for Envoy.
const NODE_TOKEN: &str = "make-run";

/// A directory such as `.run/`, with the database, the logs and the secrets of a demo.
#[derive(Debug)]
pub struct DemoState {
    dir: PathBuf,
    admin_password: String,
    at_rest_key: String,
}

impl DemoState {
    /// Creates what is missing in `dir`, and removes the logs of the last run.
    ///
    /// # Errors
    /// Fails when the directory cannot be written, or its database has lost its password.
    pub fn open(dir: PathBuf) -> Result<Self> {
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

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of a file in the directory.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// The first user's password.
    pub(super) fn admin_password(&self) -> &str {
        &self.admin_password
    }

    /// The key that encrypts imported keys in the database.
    pub(super) fn at_rest_key(&self) -> &str {
        &self.at_rest_key
    }

    /// Returns the node token that Envoy presents: the last run's, or a new one if the database
    /// does not have that.
    pub(super) async fn node_token(&self, control_plane: &ControlPlane) -> Result<String> {
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
            // The secret of the existing token is lost.
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
}

/// Reads a secret, or creates it.
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
