//! `latchkey serve`: runs the control plane until a signal ends it.

use axum::Router;
use latchkey_model::clock::SystemClock;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::backend::Backend;
use crate::config::Config;
use crate::open_files;
use crate::start::{Running, StartError, start_with_clock};

/// Runs the control plane until SIGINT or SIGTERM. `router` returns the HTTP calls that it serves.
///
/// # Errors
/// Fails if the control plane cannot start, or if a server ends unexpectedly.
pub async fn serve(
    config: Config,
    router: impl FnOnce(Backend) -> Result<Router, StartError>,
) -> Result<(), StartError> {
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let ready_file = config.ready_file.clone().map(ReadyFile);
    if let Some(file) = &ready_file {
        // A file of an earlier run would contain wrong addresses.
        file.remove()?;
    }

    open_files::raise_limit();
    let mut running = start_with_clock(config, Arc::new(SystemClock), router).await?;
    if let Some(file) = &ready_file {
        file.write(&running)?;
    }
    let ended = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        () = running.ended() => Err(StartError::Ended),
    };
    info!("stopping");
    running.shutdown().await;
    if let Some(file) = &ready_file {
        file.remove()?;
    }
    ended
}

fn listen(kind: SignalKind) -> Result<Signal, StartError> {
    signal(kind).map_err(StartError::Signals)
}

/// The file with the addresses: `{"http":"127.0.0.1:8080","stream":"127.0.0.1:8081"}`. It exists
/// only while they are served.
struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes the file atomically.
    fn write(&self, running: &Running) -> Result<(), StartError> {
        let addresses = serde_json::json!({
            "http": running.http_addr.to_string(),
            "stream": running.stream_addr.to_string(),
        });
        let mut partial = self.0.clone().into_os_string();
        partial.push(".partial");
        let written =
            fs::write(&partial, addresses.to_string()).and_then(|()| fs::rename(&partial, &self.0));
        written.map_err(|source| self.failed(source))
    }

    fn remove(&self) -> Result<(), StartError> {
        match fs::remove_file(&self.0) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.failed(source)),
            _ => Ok(()),
        }
    }

    fn failed(&self, source: io::Error) -> StartError {
        StartError::ReadyFile {
            path: self.0.clone(),
            source,
        }
    }
}
