//! How many files and connections this process may have open, and who gets how many.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// For everything but connections of clients: the database, the log, listeners, webhooks.
const RESERVED: u64 = 128;

/// Connections to the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connections {
    /// To the API.
    pub(crate) http: usize,
    /// Of Envoys.
    pub(crate) stream: usize,
}

/// Raises the limit to what the system allows: each node is a connection, and the limit that most
/// systems begin with, 1,024, is only kept for programs that cannot deal with more.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| {
        if now < most {
            setrlimit(Resource::RLIMIT_NOFILE, most, most)
        } else {
            Ok(())
        }
    });
    if let Err(error) = raised {
        warn!(%error, "cannot raise the limit of open files");
    }
}

/// Divides what the limit allows, so that one listener's connections can never take the files that
/// the other and the database need.
pub(crate) fn divide(wanted: Connections) -> Connections {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let allowed = share(limit, wanted);
    if allowed != wanted {
        warn!(
            limit,
            http_connections = allowed.http,
            stream_connections = allowed.stream,
            "the limit of open files (ulimit -n) allows fewer connections than are configured"
        );
    }
    allowed
}

/// The API gets a quarter at most, and nodes what is left.
fn share(limit: u64, wanted: Connections) -> Connections {
    let all = usize::try_from(limit.saturating_sub(RESERVED)).unwrap_or(usize::MAX);
    let http = wanted.http.min(all / 4).max(1);
    let stream = wanted.stream.min(all.saturating_sub(http)).max(1);
    Connections { http, stream }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_of_open_files_is_divided() {
        let wanted = Connections {
            http: 1_024,
            stream: 20_000,
        };
        for (limit, http, stream) in [
            (u64::MAX, 1_024, 20_000),
            (1_048_576, 1_024, 20_000),
            (20_000, 1_024, 18_848),
            (1_024, 224, 672),
            (400, 68, 204),
            (64, 1, 1),
        ] {
            let shared = share(limit, wanted);
            assert_eq!(shared, Connections { http, stream }, "{limit}");
        }
    }
}
