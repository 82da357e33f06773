//! Many nodes in one process. Each has its own connection and speaks the stream as the filter does,
//! but keeps no keys. Of a snapshot it keeps the revision, the number of records, and a checksum
//! over them.

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

/// Raises the limit of open connections of this process, and of those that it starts, to the
/// system's maximum.
///
/// # Errors
/// Fails when the limit cannot be read or set.
pub fn raise_file_limit() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("the limit of open files")
}
