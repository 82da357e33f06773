//! Limits of open files, and their distribution among the listeners.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// The number of files for everything but clients' connections: the database, the log, listeners,
/// webhooks.
const RESERVED: u64 = 128;

/// The maximum numbers of connections to the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connections {
    /// Connections to the API.
    pub(crate) http: usize,
    /// Connections of Envoys.
    pub(crate) stream: usize,
}

/// Raises the limit to the system's maximum, because each node is a connection. Most systems start
/// with 1,024 only for programs that cannot handle more.
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

/// Divides the limit, so that one listener's connections never take the files that the other and
/// the database need.
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

/// Gives the API at most a quarter, and nodes the rest.
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
