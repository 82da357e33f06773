//! How many files and connections this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Goes up to what the system allows: each node is a connection, and the limit that most systems begin with, 1,024, is
/// only kept for programs that cannot deal with more.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(now, most)| if now < most { setrlimit(Resource::RLIMIT_NOFILE, most, most) } else { Ok(()) });
    if let Err(error) = raised {
        warn!(%error, "the limit of open files stays as it is");
    }
}
