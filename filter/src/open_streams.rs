//! Streams that stay open after their request was admitted, and that end when their secret does.
//!
//! Each worker keeps its own: what a stream was admitted by. Soon after a change of the snapshot,
//! and twice a second as keys expire, they are checked again by rows 6 to 9 of the verdict, a part
//! of them at each tick.

use crate::client_address::Forwarded;
use crate::headers::RequestHeaders;
use crate::host::{ContextId, Host, Nanos};
use crate::memory::Memory;
use crate::worker::{Ready, Shared};
use latchkey_policy::key::KeyDigest;
use latchkey_policy::snapshot::Unavailable;
use latchkey_policy::verdict::{self, Code, Settings};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Filter state with the verdict that has ended a stream, for access logs.
const ENDED_STATE: &str = "latchkey_ended";

/// Time between two passes over the streams while nothing changes.
const PASS_PAUSE: Nanos = 500_000_000;

/// Ticks that a pass takes, unless there are so few streams that one is enough.
const PASS_TICKS: usize = 3;

/// Streams that are checked in one tick, at least.
const MIN_CHECKS: usize = 500;

/// The age from which on plain requests are ended too.
const LONG_REQUEST: Nanos = 30_000_000_000;

/// Which streams end when their secret does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndStreams {
    /// None.
    Off,
    /// WebSockets and other upgrades, CONNECT, and gRPC.
    #[default]
    Upgrades,
    /// Those, and requests that are older than 30 s.
    All,
}

impl EndStreams {
    /// The names in the configuration.
    pub const NAMES: [(&str, Self); 3] = [
        ("off", Self::Off),
        ("upgrades", Self::Upgrades),
        ("all", Self::All),
    ];
}

/// What a stream was admitted by.
#[derive(Debug, Clone, Copy)]
pub struct OpenStream {
    digest: KeyDigest,
    forwarded: Forwarded,
    /// A plain request, and when it came.
    plain_since: Option<Nanos>,
}

impl OpenStream {
    /// What has to be kept of a request that was admitted by a key; `None` if it is not one that
    /// would be ended.
    pub fn new(
        host: &impl Host,
        mode: EndStreams,
        headers: &RequestHeaders,
        digest: &KeyDigest,
        forwarded: Forwarded,
    ) -> Option<Self> {
        let stream = Self {
            digest: *digest,
            forwarded,
            plain_since: None,
        };
        match mode {
            EndStreams::Off => None,
            _ if outlives_its_request(headers) => Some(stream),
            EndStreams::Upgrades => None,
            EndStreams::All => Some(Self {
                plain_since: Some(host.monotonic().unwrap_or_default()),
                ..stream
            }),
        }
    }

    fn is_to_be_checked(&self, now: Nanos) -> bool {
        self.plain_since
            .is_none_or(|since| now.abs_diff(since) > LONG_REQUEST)
    }
}

/// Whether it is an upgrade, CONNECT (over HTTP/2 as well) or gRPC of any kind.
fn outlives_its_request(headers: &RequestHeaders) -> bool {
    headers.iter().any(|(name, value)| match name {
        b":method" => value == b"CONNECT",
        b"upgrade" => true,
        b"content-type" => value.starts_with(b"application/grpc"),
        _ => false,
    })
}

/// The open streams of one worker.
#[derive(Debug, Default)]
pub struct OpenStreams {
    streams: RefCell<BTreeMap<ContextId, OpenStream>>,
    /// The generation of the snapshot when the last pass began.
    generation: Cell<Option<u64>>,
    began_at: Cell<Nanos>,
    /// The stream at which the pass goes on; none while there is no pass.
    next: Cell<Option<ContextId>>,
}

impl OpenStreams {
    /// Keeps a stream until it is gone.
    pub fn add(&self, context: ContextId, stream: OpenStream) {
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.insert(context, stream);
        }
    }

    /// Drops a stream that has come to its end, at once: a stream that has ended must not be reset.
    pub fn remove(&self, context: ContextId) {
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.remove(&context);
        }
    }

    /// The number of streams.
    pub fn len(&self) -> usize {
        self.streams.try_borrow().map_or(0, |streams| streams.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks a part of the streams, when it is time to. The host's calls are about one of them
    /// afterwards.
    pub fn tick(&self, host: &impl Host, worker: &Shared) {
        let (Some(ready), Ok(now)) = (worker.ready(), host.monotonic()) else {
            return;
        };
        if self.is_empty() {
            self.next.set(None);
            return;
        }
        let first = self
            .next
            .get()
            .or_else(|| self.is_due(host, now).then_some(ContextId::MIN));
        let Some(first) = first else { return };
        let (streams, next) = self.part(first);
        // Where the snapshot cannot be asked, the pass goes on at the next tick from where it is.
        self.next
            .set(self.check_all(host, worker, ready, &streams, now).or(next));
    }

    /// The streams from `first` on that are checked in one tick, and the one behind them.
    fn part(&self, first: ContextId) -> (Vec<(ContextId, OpenStream)>, Option<ContextId>) {
        let Ok(streams) = self.streams.try_borrow() else {
            return (Vec::new(), Some(first));
        };
        let len = MIN_CHECKS.max(streams.len().div_ceil(PASS_TICKS));
        let mut rest = streams
            .range(first..)
            .map(|(context, stream)| (*context, *stream));
        let part = rest.by_ref().take(len).collect();
        (part, rest.next().map(|(context, _)| context))
    }

    /// Whether a pass has to begin; remembers that it does.
    fn is_due(&self, host: &impl Host, now: Nanos) -> bool {
        let generation = host.generation();
        if generation == self.generation.get() && now.abs_diff(self.began_at.get()) < PASS_PAUSE {
            return false;
        }
        self.generation.set(generation);
        self.began_at.set(now);
        true
    }

    /// Checks these streams; `Some` is the one that could not be.
    fn check_all(
        &self,
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
        let memory = Memory::new(host, worker, ready, view);
        for (context, stream) in streams {
            if host.enter(*context).is_err() {
                self.remove(*context);
                continue;
            }
            if !stream.is_to_be_checked(now) {
                continue;
            }
            match refused_by_now(host, &memory, ready, stream) {
                Ok(None) => {}
                Ok(Some(code)) => {
                    // For the access log alone.
                    let _ = host.set_filter_state(ENDED_STATE, code.as_str());
                    if host.reset().is_ok() {
                        ready.metrics.stream_ended(host);
                        self.remove(*context);
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
}

/// The code by which a new request like the stream's would be refused.
fn refused_by_now<H: Host>(
    host: &H,
    memory: &Memory<'_, H>,
    ready: &Ready,
    stream: &OpenStream,
) -> Result<Option<Code>, Unavailable> {
    let settings = Settings {
        keys: &ready.config.keys,
        shadow: &ready.config.shadow,
    };
    verdict::recheck(
        memory,
        &stream.digest,
        || stream.forwarded.client_address(host),
        settings,
    )
}
