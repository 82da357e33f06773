//! The output of logs: stderr, as text or as JSON.

use std::io;
use tracing_subscriber::EnvFilter;

use crate::config::{InvalidSetting, LogConfig, LogFormat};

/// Starts logging. Must be called once.
pub fn init(config: &LogConfig) -> Result<(), InvalidSetting> {
    let filter = EnvFilter::try_new(&config.level).map_err(|error| InvalidSetting {
        flag: "--log-level",
        variable: "RUST_LOG",
        reason: format!("is invalid: {error}"),
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);

    match config.format {
        LogFormat::Text => log
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .init(),
        LogFormat::Json => log.json().init(),
    }

    Ok(())
}
