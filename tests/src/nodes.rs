//! Many nodes in one process. Each has a connection of its own and speaks the stream as the filter
//! does, but keeps no keys: of a snapshot it keeps the revision, how many records it had, and a
//! checksum over them.

mod backoff;
mod fleet;
mod follower;
mod node;
mod reports;
mod traffic;

pub use fleet::{Fleet, Totals};
pub use node::NodeId;
pub use reports::Reports;

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process, and those that it starts, have as many connections as the system allows.
///
/// # Errors
/// When the limit cannot be read or set.
pub fn raise_file_limit() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("the limit of open files")
}
