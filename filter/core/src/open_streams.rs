//! Streams that stay open after their request was admitted, and that end when their secret ends.
//!
//! Each worker keeps the data by which its own streams were admitted.
//! [`stream_check`](crate::stream_check) ends them.

use crate::client_address::Forwarded;
use crate::config::EndStreams;
use crate::headers::RequestHeaders;
use crate::host::{ContextId, Host, Nanos};
use latchkey_policy::key::KeyDigest;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The number of ticks for one pass. If there are few streams, one tick is enough.
const PASS_TICKS: usize = 3;

/// The lowest number of streams that are checked in one tick.
const MIN_CHECKS: usize = 500;

/// The age from which on plain requests are ended too.
const LONG_REQUEST: Nanos = 30_000_000_000;

/// The data by which a stream was admitted.
#[derive(Debug, Clone, Copy)]
pub struct OpenStream {
    /// The secret that admitted it.
    pub digest: KeyDigest,
    /// The client's address according to the request's headers.
    pub forwarded: Forwarded,
    /// The time at which a plain request came; `None` for other streams.
    plain_since: Option<Nanos>,
}

impl OpenStream {
    /// Creates the record of a request that was admitted by a key; `None` if such a request is
    /// never ended.
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

    /// Returns whether the stream now ends with its secret: a plain request does from a certain age
    /// on.
    pub fn is_to_be_checked(&self, now: Nanos) -> bool {
        self.plain_since
            .is_none_or(|since| now.abs_diff(since) > LONG_REQUEST)
    }
}

/// Returns whether it is an upgrade, CONNECT (over HTTP/2 as well) or gRPC of any kind.
#[inline]
fn outlives_its_request(headers: &RequestHeaders) -> bool {
    headers.iter().any(|(name, value)| match name {
        b":method" => value == b"CONNECT",
        b"upgrade" => true,
        b"content-type" => value.starts_with(b"application/grpc"),
        _ => false,
    })
}

/// The streams of one tick, and the stream after them.
type Part = (Vec<(ContextId, OpenStream)>, Option<ContextId>);

/// The open streams of one worker.
#[derive(Debug, Default)]
pub struct OpenStreams {
    streams: RefCell<BTreeMap<ContextId, OpenStream>>,
}

impl OpenStreams {
    /// Keeps a stream until it ends.
    #[inline]
    pub fn add(&self, context: ContextId, stream: OpenStream) {
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.insert(context, stream);
        }
    }

    /// Drops a stream as soon as it has ended: a stream that has ended must not be reset.
    #[inline]
    pub fn remove(&self, context: ContextId) {
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.remove(&context);
        }
    }

    /// Returns the number of streams.
    #[inline]
    pub fn len(&self) -> usize {
        self.streams.try_borrow().map_or(0, |streams| streams.len())
    }

    /// Returns whether there are no streams.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the streams from `first` on that are checked in one tick, and the one after them;
    /// `None` while the streams cannot be read.
    pub fn part(&self, first: ContextId) -> Option<Part> {
        let streams = self.streams.try_borrow().ok()?;
        let len = MIN_CHECKS.max(streams.len().div_ceil(PASS_TICKS));
        let mut rest = streams
            .range(first..)
            .map(|(context, stream)| (*context, *stream));
        let part = rest.by_ref().take(len).collect();
        Some((part, rest.next().map(|(context, _)| context)))
    }
}
