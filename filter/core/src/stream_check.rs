//! Ending open streams whose secret has ended.
//!
//! The open streams are checked again soon after a change of the snapshot, and twice a second as
//! keys expire. The checks are rows 6 to 9 of the verdict. Each tick checks a part of the streams.

use crate::host::{ContextId, Host, Nanos};
use crate::open_streams::OpenStream;
use crate::shared::{Ready, Shared};
use crate::source::SnapshotSource;
use latchkey_policy::snapshot::Unavailable;
use latchkey_policy::verdict::{self, Code, Settings};
use std::cell::Cell;

/// Filter state with the verdict that has ended a stream, for access logs.
const ENDED_STATE: &str = "latchkey_ended";

/// The time between two passes over the streams while nothing changes.
const PASS_PAUSE: Nanos = 500_000_000;

/// The passes over the open streams of one worker.
#[derive(Debug, Default)]
pub struct StreamCheck {
    /// The generation of the snapshot when the last pass began.
    generation: Cell<Option<u64>>,
    began_at: Cell<Nanos>,
    /// The stream at which the pass goes on; `None` while there is no pass.
    next: Cell<Option<ContextId>>,
}

impl StreamCheck {
    /// Checks a part of the streams, if a check is due. Afterwards the host's calls are about one
    /// of them.
    pub fn tick(&self, host: &impl Host, worker: &Shared) {
        let (Some(ready), Ok(now)) = (worker.ready(), host.monotonic()) else {
            return;
        };
        if worker.open_streams.is_empty() {
            self.next.set(None);
            return;
        }

        let first = self
            .next
            .get()
            .or_else(|| self.is_due(host, now).then_some(ContextId::MIN));
        let Some(first) = first else { return };
        let Some((streams, next)) = worker.open_streams.part(first) else {
            self.next.set(Some(first));
            return;
        };

        // If the snapshot cannot be read, the pass goes on at the next tick from the same stream.
        self.next
            .set(check_all(host, worker, ready, &streams, now).or(next));
    }

    /// Returns whether a pass has to begin, and records that it does.
    fn is_due(&self, host: &impl Host, now: Nanos) -> bool {
        let generation = host.generation();
        if generation == self.generation.get() && now.abs_diff(self.began_at.get()) < PASS_PAUSE {
            return false;
        }
        self.generation.set(generation);
        self.began_at.set(now);
        true
    }
}

/// Checks these streams. Returns the one that could not be checked, if any.
fn check_all(
    host: &impl Host,
    worker: &Shared,
    ready: &Ready,
    streams: &[(ContextId, OpenStream)],
    now: Nanos,
) -> Option<ContextId> {
    let first = streams.first().map(|(context, _)| *context);
    let Ok(mut reader) = worker.reader() else {
        return first;
    };
    let view = match reader.view(host) {
        Ok(view) => view,
        Err(error) => {
            worker.report_damage(host, error);
            return first;
        }
    };

    let source = SnapshotSource::new(host, worker, ready, view);
    for (context, stream) in streams {
        if host.enter(*context).is_err() {
            worker.open_streams.remove(*context);
            continue;
        }
        if !stream.is_to_be_checked(now) {
            continue;
        }
        match refused_by_now(host, &source, ready, stream) {
            Ok(None) => {}
            Ok(Some(code)) => {
                // This is only for the access log.
                let _ = host.set_filter_state(ENDED_STATE, code.as_str());
                if host.reset().is_ok() {
                    ready.metrics.stream_ended(host);
                    worker.open_streams.remove(*context);
                }
            }
            Err(error) => {
                worker.report_damage(host, error);
                return Some(*context);
            }
        }
    }

    None
}

/// Returns the code by which a new request like the stream's would be refused.
fn refused_by_now<H: Host>(
    host: &H,
    source: &SnapshotSource<'_, H>,
    ready: &Ready,
    stream: &OpenStream,
) -> Result<Option<Code>, Unavailable> {
    let settings = Settings {
        keys: &ready.config.keys,
        shadow: &ready.config.shadow,
    };
    verdict::recheck(
        source,
        &stream.digest,
        || stream.forwarded.client_address(host),
        settings,
    )
}
