//! The calls that the filter makes to Envoy. One implementation is Envoy, the other a fake for unit
//! tests.

use crate::headers::RequestHeaders;
use latchkey_policy::cells::Cells;
use latchkey_policy::verdict::GrpcStatus;

/// Nanoseconds since the Unix epoch, by the host's clock.
pub type Nanos = u64;

pub(crate) const NANOS_PER_SECOND: Nanos = 1_000_000_000;

/// The host's identifier of a gRPC stream.
pub type StreamId = u32;

/// The host's identifier of a request, or of a stream that began as one.
pub type ContextId = u32;

/// The host's identifier of a metric.
pub type MetricId = u32;

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// An event.
    Info,
    /// A condition that an operator should look at.
    Warn,
    /// A failure.
    Error,
}

/// The kind of a metric: counter or gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that only grows.
    Counter,
    /// A value that is set.
    Gauge,
}

/// The error of a call that the host refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// An answer of the filter, which does not come from an upstream.
#[derive(Debug, Clone, Copy)]
pub struct LocalResponse<'r> {
    /// The HTTP status.
    pub status: u32,
    /// The status for a gRPC request, unless it is the one that the host derives from the HTTP
    /// status.
    pub grpc_status: Option<GrpcStatus>,
    /// The reason for the status, as the host shows it.
    pub details: &'r str,
    /// The response's headers.
    pub headers: &'r [(&'r str, &'r str)],
    /// The response's body.
    pub body: &'r str,
}

/// The host. A call that fails has no effect. Calls whose failure the filter cannot handle return
/// nothing.
pub trait Host: Cells {
    /// Returns the time.
    fn now(&self) -> Result<Nanos, Refused>;

    /// Returns the time in Unix seconds.
    fn unix_seconds(&self) -> Result<i64, Refused> {
        i64::try_from(self.now()? / NANOS_PER_SECOND).map_err(|_| Refused)
    }

    /// Returns nanoseconds on a clock that begins at any value and is never set.
    fn monotonic(&self) -> Result<Nanos, Refused>;

    /// Returns random bytes.
    fn random(&self) -> Result<[u8; 16], Refused>;

    /// Returns a variable of the environment, if the host provides it.
    fn environment(&self, name: &str) -> Option<String>;

    /// Sets the prefix of the names of cells.
    fn use_instance(&self, instance: &str);

    /// Writes to Envoy's log. The message must never contain a credential.
    fn log(&self, level: Level, message: &str);

    /// Returns the request's headers.
    fn request_headers(&self) -> Result<RequestHeaders, Refused>;

    /// Returns the address and port of the client, after the host has taken trusted proxies into
    /// account: `192.0.2.1:4711` or `[2001:db8::1]:4711`.
    fn source_address(&self) -> Result<Vec<u8>, Refused>;

    /// Sets a request header. It replaces all headers that the client sent under that name.
    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused>;

    /// Removes all request headers of a name.
    fn remove_request_header(&self, name: &str) -> Result<(), Refused>;

    /// Returns the request's trailers.
    fn request_trailers(&self) -> Result<RequestHeaders, Refused>;

    /// Removes all request trailers of a name.
    fn remove_request_trailer(&self, name: &str) -> Result<(), Refused>;

    /// Sets a response header. It replaces all headers that the upstream sent under that name.
    fn set_response_header(&self, name: &str, value: &str) -> Result<(), Refused>;

    /// Sets filter state, which Envoy shows as `wasm.<name>`.
    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), Refused>;

    /// Answers the request immediately.
    fn respond(&self, response: &LocalResponse<'_>) -> Result<(), Refused>;

    /// Selects the request that the calls that follow are about. Fails if it no longer exists.
    fn enter(&self, context: ContextId) -> Result<(), Refused>;

    /// Ends the stream of the current request, at any point of the exchange. Must not be called for
    /// a stream that has ended: its context lives on for a moment, and ending it then would crash
    /// Envoy.
    fn reset(&self) -> Result<(), Refused>;

    /// Returns the `node.id` of this Envoy.
    fn node_id(&self) -> String;

    /// Registers a metric, once for each name and VM.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<MetricId>;

    /// Adds one to a counter.
    fn count(&self, metric: MetricId);

    /// Sets a gauge.
    fn gauge(&self, metric: MetricId, value: u64);

    /// Opens the stream to the control plane through an Envoy cluster.
    fn open_stream(&self, cluster: &str, token: &str) -> Result<StreamId, Refused>;

    /// Sends a message on a stream.
    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused>;

    /// Returns the message that the host is delivering.
    fn received(&self) -> Option<Vec<u8>>;

    /// Releases a stream in any state.
    fn abandon_stream(&self, stream: StreamId);
}
