//! The ABI's numbers, and its form of headers.

use latchkey_filter_core::headers::RequestHeaders;

/// The severity of a log line.
#[repr(u32)]
#[derive(Debug, Clone, Copy)]
pub(in crate::envoy) enum LogLevel {
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

/// A buffer that the host can copy.
#[repr(u32)]
#[derive(Debug, Clone, Copy)]
pub(in crate::envoy) enum BufferType {
    GrpcReceiveBuffer = 5,
    PluginConfiguration = 7,
}

/// A map of headers.
#[repr(u32)]
#[derive(Debug, Clone, Copy)]
pub(in crate::envoy) enum MapType {
    RequestHeaders = 0,
    RequestTrailers = 1,
    ResponseHeaders = 2,
}

/// The kind of a metric.
#[repr(u32)]
#[derive(Debug, Clone, Copy)]
pub(in crate::envoy) enum MetricType {
    Counter = 0,
    Gauge = 1,
}

/// A direction of the stream of a request.
#[repr(u32)]
#[derive(Debug, Clone, Copy)]
pub(in crate::envoy) enum StreamType {
    Request = 0,
}

/// The status of a call that failed; 0 is success.
pub(in crate::envoy) type Status = u32;
/// There is no such cell.
pub(in crate::envoy) const NOT_FOUND: Status = 1;
/// The cell has another version.
pub(in crate::envoy) const CAS_MISMATCH: Status = 8;
/// The filter cannot make the call.
const INTERNAL_FAILURE: Status = 10;

/// Makes the host derive the gRPC status from the HTTP status: 429 becomes UNAVAILABLE.
pub(super) const GRPC_STATUS_OF_HTTP: i32 = -1;

/// Converts the status of a call to a result.
pub(super) fn check(status: Status) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(status) }
}

/// Encodes headers in the ABI's form of a header map.
pub(super) fn pairs(headers: &[(&str, &str)]) -> Result<Vec<u8>, Status> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    RequestHeaders::encode(headers).ok_or(INTERNAL_FAILURE)
}
