//! Latchkey's complete control plane: its services (`latchkey-server`) with the API (`latchkey-api`)
//! and the console (`latchkey-console`).
//!
//! | crate | owns |
//! |---|---|
//! | `latchkey-model` | the values that the others have in common |
//! | `latchkey-api-types` | the requests and responses of the API |
//! | `latchkey-store` | the database, and the revision that every change advances |
//! | `latchkey-server` | the stream to the nodes, usage, webhooks, starting and stopping |
//! | `latchkey-api` | the management API over these services |
//! | `latchkey-console` | pages over the API, which use only its calls |
//! | `latchkey-cli` | the commands that call the API over HTTP |

use latchkey_model::clock::{Clock, SystemClock};
use std::sync::Arc;

pub use latchkey_api::check_import_row;
pub use latchkey_server::{Config, Running, StartError, at_rest, backup, config, log, tls};

/// Runs the control plane until SIGINT or SIGTERM.
///
/// # Errors
/// Fails if the control plane cannot start, or if a server ends unexpectedly.
pub async fn serve(config: Config) -> Result<(), StartError> {
    latchkey_server::serve(config, |backend| {
        latchkey_api::router(backend, latchkey_console::router)
    })
    .await
}

/// Starts the control plane.
///
/// # Errors
/// Fails if a setting cannot be used, or if a required resource cannot be opened.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_with_clock(config, Arc::new(SystemClock)).await
}

/// Starts the control plane with the caller's clock.
///
/// # Errors
/// The same as for [`start`].
pub async fn start_with_clock(
    config: Config,
    clock: Arc<dyn Clock>,
) -> Result<Running, StartError> {
    latchkey_server::start_with_clock(config, clock, |backend| {
        latchkey_api::router(backend, latchkey_console::router)
    })
    .await
}
