//! Listeners that come from a file (LDS), and are replaced while Envoy runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::bootstrap::Bootstrap;
use crate::envoy::Envoy;
use crate::envoy_options::EnvoyOptions;
use crate::files::write_private;
use crate::wait::{Fatal, eventually};

/// The time that Envoy may take to read the file and to warm the listeners.
const UPDATE: Duration = Duration::from_secs(15);

pub(crate) const FIRST_VERSION: u64 = 1;

/// Returns the bootstrap. With LDS it has no listeners: they are written to their file.
pub(crate) fn split_off(options: &EnvoyOptions, version: u64) -> Result<String> {
    let text = options.bootstrap()?;
    if !options.lds {
        return Ok(text);
    }
    let path = options.file("-listeners.yaml");
    let mut bootstrap = Bootstrap::filled(text);
    // The file is renamed into place: Envoy watches for that, and never reads an incomplete file.
    write_private(&path, &bootstrap.split_listeners(&path, version)?)?;
    Ok(bootstrap.into_text())
}

impl Envoy {
    /// Changes the listeners, such as the filter's configuration or its wasm file, and waits until
    /// the workers have the new ones. Connections stay on the old listeners until those are
    /// drained. Options that do not belong to a listener stay unchanged.
    ///
    /// # Errors
    /// Fails when Envoy was started without [`lds`](EnvoyOptions::lds), or refuses the listeners.
    /// The error has the reason.
    pub async fn update(&mut self, change: impl FnOnce(&mut EnvoyOptions)) -> Result<()> {
        ensure!(
            self.options.lds,
            "{} has its listeners in the bootstrap",
            self.options.node_id
        );
        change(&mut self.options);
        self.version += 1;
        let (taken, refused) = (
            self.updates("success").await,
            self.updates("rejected").await,
        );
        split_off(&self.options, self.version)?;
        let updated = eventually(UPDATE, async || {
            if self.updates("rejected").await > refused {
                let reason = errors(&self.listeners_dump().await?);
                return Err(Fatal(format!("the listeners are refused: {reason}")).into());
            }
            // The version in the dump is not enough: it stays the same when no listener has
            // changed.
            ensure!(
                self.updates("success").await > taken,
                "the file is not read yet"
            );
            let dump = self.listeners_dump().await?;
            let warming = listeners(&dump)
                .iter()
                .any(|listener| !listener["warming_state"].is_null());
            ensure!(!warming, "a listener is still warming");
            Ok(())
        });
        updated
            .await
            .with_context(|| format!("{} does not take its listeners", self.options.node_id))?;
        self.find_gateway().await
    }

    /// Returns the number of updates of the listeners with that outcome. Envoy creates the
    /// statistic at the first one.
    async fn updates(&self, outcome: &str) -> u64 {
        self.stat(&format!("listener_manager.lds.update_{outcome}"))
            .await
            .unwrap_or(0)
    }

    async fn listeners_dump(&self) -> Result<Value> {
        let dump: Value = serde_json::from_str(&self.admin_get("/config_dump").await?)?;
        let parts = dump["configs"].as_array().context("a dump without parts")?;
        let part = parts.iter().find(|part| {
            part["@type"]
                .as_str()
                .is_some_and(|name| name.ends_with("ListenersConfigDump"))
        });
        Ok(part.context("a dump without listeners")?.clone())
    }
}

fn listeners(dump: &Value) -> &[Value] {
    dump["dynamic_listeners"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn errors(dump: &Value) -> String {
    let details = listeners(dump)
        .iter()
        .filter_map(|listener| listener["error_state"]["details"].as_str());
    details.collect::<Vec<_>>().join("; ")
}
