//! What the filter asks of Envoy. One implementation is Envoy itself, the other a fake for unit
//! tests.

use crate::headers::RequestHeaders;
use latchkey_policy::cells::Cells;
use latchkey_policy::verdict::GrpcStatus;

/// Nanoseconds since the Unix epoch, by the host's clock.
pub type Nanos = u64;

pub(crate) const NANOS_PER_SECOND: Nanos = 1_000_000_000;

/// A gRPC stream that the host knows.
pub type StreamId = u32;

/// A request, or a stream that began as one, as the host names it.
pub type ContextId = u32;

/// A metric that the host knows.
pub type MetricId = u32;

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What happened.
    Info,
    /// What an operator should look at.
    Warn,
    /// What does not work.
    Error,
}

/// Counter or gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
}

/// The host refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// An answer that does not come from an upstream.
#[derive(Debug, Clone, Copy)]
pub struct LocalResponse<'r> {
    /// The HTTP status.
    pub status: u32,
    /// The status for a gRPC request, if it is another than the host makes of the HTTP status.
    pub grpc_status: Option<GrpcStatus>,
    /// What the host shows as the reason for the status.
    pub details: &'r str,
    /// The response's headers.
    pub headers: &'r [(&'r str, &'r str)],
    /// The response's body.
    pub body: &'r str,
}

/// The host. A call that fails has no effect; where nothing can be done about it, it returns
/// nothing.
pub trait Host: Cells {
    /// The time.
    fn now(&self) -> Result<Nanos, Refused>;

    /// The time in Unix seconds.
    fn unix_seconds(&self) -> Result<i64, Refused> {
        i64::try_from(self.now()? / NANOS_PER_SECOND).map_err(|_| Refused)
    }

    /// Nanoseconds on a clock that begins anywhere and is never set.
    fn monotonic(&self) -> Result<Nanos, Refused>;

    /// Random bytes.
    fn random(&self) -> Result<[u8; 16], Refused>;

    /// A variable of the environment, as far as the host hands it over.
    fn environment(&self, name: &str) -> Option<String>;

    /// From now on names of cells begin with this.
    fn use_instance(&self, instance: &str);

    /// Writes to Envoy's log. Never a credential.
    fn log(&self, level: Level, message: &str);

    /// The request's headers.
    fn request_headers(&self) -> Result<RequestHeaders, Refused>;

    /// The address and port of the client, after what the host makes of trusted proxies:
    /// `192.0.2.1:4711` or `[2001:db8::1]:4711`.
    fn source_address(&self) -> Result<Vec<u8>, Refused>;

    /// Sets a request header in place of all that the client sent under that name.
    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused>;

    /// Removes a request header, however often it was sent.
    fn remove_request_header(&self, name: &str) -> Result<(), Refused>;

    /// The request's trailers.
    fn request_trailers(&self) -> Result<RequestHeaders, Refused>;

    /// Removes a request trailer, however often it was sent.
    fn remove_request_trailer(&self, name: &str) -> Result<(), Refused>;

    /// Sets a response header in place of all that the upstream sent under that name.
    fn set_response_header(&self, name: &str, value: &str) -> Result<(), Refused>;

    /// Sets filter state, which Envoy shows as `wasm.<name>`.
    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), Refused>;

    /// Answers the request here and now.
    fn respond(&self, response: &LocalResponse<'_>) -> Result<(), Refused>;

    /// Makes the calls that follow be about that request. Fails when it is gone.
    fn enter(&self, context: ContextId) -> Result<(), Refused>;

    /// Ends the stream of the current request, whatever has been sent on it. Not for one that has
    /// ended: its context lives on for a moment, and Envoy would not survive its end there.
    fn reset(&self) -> Result<(), Refused>;

    /// The `node.id` of this Envoy.
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

    /// The message that the host is delivering.
    fn received(&self) -> Option<Vec<u8>>;

    /// Lets go of a stream, whatever state it is in.
    fn abandon_stream(&self, stream: StreamId);
}
