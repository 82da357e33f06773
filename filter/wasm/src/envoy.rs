//! Envoy as the filter's host, by direct use of the proxy-wasm ABI (0.2.1).
//!
//! There is an SDK for the ABI. Its wrappers panic on a status that they do not expect, which takes
//! the worker's filter down. Its dispatcher costs every request more than all of the ABI that is
//! needed here.

mod abi;
mod entry;

use abi::{BufferType, LogLevel, MapType, MetricType, StreamType};
use latchkey_filter_core::headers::RequestHeaders;
use latchkey_filter_core::host::{
    ContextId, Host, Level, LocalResponse, MetricId, MetricKind, Nanos, Refused, StreamId,
};
use latchkey_filter_core::worker::Worker;
use latchkey_policy::cells::{Cell as SharedCell, CellError, Cells, Expect};
use prost::Message as _;
use std::cell::{Cell, OnceCell, RefCell};

/// The time until a new worker first looks for the stream: without a snapshot, requests are
/// refused.
const FIRST_TICK_MILLIS: u32 = 1;

/// The gauge whose value is the generation.
const GENERATION: &str = "latchkey_generation";

fn configure(host: &Envoy, worker: &mut Worker) -> bool {
    let configuration = abi::buffer(BufferType::PluginConfiguration).unwrap_or_default();
    if !worker.configure(host, &configuration) {
        return false;
    }

    #[cfg(feature = "fault")]
    if let Some(ready) = worker.shared().ready()
        && !ready.config.fault.on_configure(host)
    {
        return false;
    }

    // Without ticks this thread never holds the stream; it still decides by the memory that other
    // threads have written.
    let _ = abi::set_tick_period(FIRST_TICK_MILLIS);
    true
}

/// The prefix of cell names until the configuration sets another one.
const DEFAULT_INSTANCE: &str = "latchkey/";

/// The host of one filter in this VM.
#[derive(Debug)]
struct Envoy {
    /// The gauge; `None` if the host has no gauges for the filter.
    generation: OnceCell<Option<MetricId>>,
    /// The buffer in which cell names are put together: the prefix, and the rest of the last name.
    name: RefCell<String>,
    prefix: Cell<usize>,
}

impl Default for Envoy {
    fn default() -> Self {
        Self {
            generation: OnceCell::new(),
            name: RefCell::new(DEFAULT_INSTANCE.to_owned()),
            prefix: Cell::new(DEFAULT_INSTANCE.len()),
        }
    }
}

impl Envoy {
    fn generation_gauge(&self) -> Option<MetricId> {
        *self
            .generation
            .get_or_init(|| abi::define_metric(MetricType::Gauge, GENERATION).ok())
    }

    /// Calls `call` with the whole name of a cell.
    fn with_name<T>(&self, name: &str, call: impl FnOnce(&str) -> T) -> Result<T, CellError> {
        let mut whole = self.name.try_borrow_mut().map_err(|_| CellError::Host)?;
        whole.truncate(self.prefix.get());
        whole.push_str(name);
        Ok(call(&whole))
    }
}

/// The version for creating a cell. A write with it fails on a cell that exists, at any version,
/// and creates one that does not: Envoy compares versions only if the cell exists, and counts them
/// up from 1.
const NO_SUCH_VERSION: u32 = u32::MAX;

impl Cells for Envoy {
    fn get(&self, name: &str) -> Result<Option<SharedCell>, CellError> {
        match self.with_name(name, abi::get_shared_data)? {
            Ok((bytes, version)) => Ok(Some(SharedCell { bytes, version })),
            Err(abi::NOT_FOUND) => Ok(None),
            Err(_) => Err(CellError::Host),
        }
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        let version = match expect {
            Expect::Absent => NO_SUCH_VERSION,
            Expect::Version(version) => version,
        };
        self.with_name(name, |name| abi::set_shared_data(name, bytes, version))?
            .map_err(|status| match status {
                abi::CAS_MISMATCH => CellError::Conflict,
                _ => CellError::Host,
            })
    }

    /// Reads a gauge, which all threads of the process share, without a copy or a lock. It is 0
    /// until it is first advanced, and always 0 if the operator's configuration of statistics
    /// excludes it.
    fn generation(&self) -> Option<u64> {
        abi::get_metric(self.generation_gauge()?)
            .ok()
            .filter(|generation| *generation != 0)
    }

    /// Adds a number taken from the clock, and not one: after a hot restart the gauge includes the
    /// former process' value until that process ends; then that value is subtracted.
    fn advance_generation(&self) {
        if let Some(gauge) = self.generation_gauge() {
            let step = abi::current_time().unwrap_or_default() & (u64::MAX >> 24) | 1;
            let _ = abi::increment_metric(gauge, step.cast_signed());
        }
    }
}

impl Host for Envoy {
    fn now(&self) -> Result<Nanos, Refused> {
        abi::current_time().map_err(|_| Refused)
    }

    fn monotonic(&self) -> Result<Nanos, Refused> {
        abi::monotonic_time().map_err(|_| Refused)
    }

    fn random(&self) -> Result<[u8; 16], Refused> {
        abi::random().map_err(|_| Refused)
    }

    fn environment(&self, name: &str) -> Option<String> {
        let variables = abi::environment().ok()?;
        let mut variables = variables.split(|byte| *byte == 0);
        let value = variables
            .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        String::from_utf8(value.to_vec()).ok()
    }

    fn use_instance(&self, instance: &str) {
        if let Ok(mut name) = self.name.try_borrow_mut() {
            *name = format!("{instance}/");
            self.prefix.set(name.len());
        }
    }

    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        abi::log(level, message);
    }

    fn request_headers(&self) -> Result<RequestHeaders, Refused> {
        RequestHeaders::read(abi::headers(MapType::RequestHeaders).map_err(|_| Refused)?)
            .ok_or(Refused)
    }

    fn request_trailers(&self) -> Result<RequestHeaders, Refused> {
        RequestHeaders::read(abi::headers(MapType::RequestTrailers).map_err(|_| Refused)?)
            .ok_or(Refused)
    }

    fn source_address(&self) -> Result<Vec<u8>, Refused> {
        abi::get_property("source\0address").map_err(|_| Refused)
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        abi::replace_header(MapType::RequestHeaders, name, value).map_err(|_| Refused)
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        abi::remove_header(MapType::RequestHeaders, name).map_err(|_| Refused)
    }

    fn remove_request_trailer(&self, name: &str) -> Result<(), Refused> {
        abi::remove_header(MapType::RequestTrailers, name).map_err(|_| Refused)
    }

    fn set_response_header(&self, name: &str, value: &str) -> Result<(), Refused> {
        abi::replace_header(MapType::ResponseHeaders, name, value.as_bytes()).map_err(|_| Refused)
    }

    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), Refused> {
        abi::set_property(name, value.as_bytes()).map_err(|_| Refused)
    }

    fn respond(&self, response: &LocalResponse<'_>) -> Result<(), Refused> {
        abi::send_local_response(response).map_err(|_| Refused)
    }

    fn enter(&self, context: ContextId) -> Result<(), Refused> {
        abi::set_effective_context(context).map_err(|_| Refused)
    }

    fn reset(&self) -> Result<(), Refused> {
        abi::close_stream(StreamType::Request).map_err(|_| Refused)
    }

    fn node_id(&self) -> String {
        let id = abi::get_property("xds\0node\0id").unwrap_or_default();
        String::from_utf8_lossy(&id).into_owned()
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<MetricId> {
        let kind = match kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
        };
        abi::define_metric(kind, name).ok()
    }

    fn count(&self, metric: MetricId) {
        // A request is not refused because it could not be counted.
        let _ = abi::increment_metric(metric, 1);
    }

    fn gauge(&self, metric: MetricId, value: u64) {
        let _ = abi::record_metric(metric, value);
    }

    fn open_stream(&self, cluster: &str, token: &str) -> Result<StreamId, Refused> {
        // A serialized GrpcService and not the bare name, as some names happen to parse as one.
        let service = GrpcService {
            envoy_grpc: Some(EnvoyGrpc {
                cluster_name: cluster.to_owned(),
            }),
        };
        let authorization = format!("Bearer {token}");

        abi::open_grpc_stream(
            &service.encode_to_vec(),
            latchkey_protocol::SERVICE,
            latchkey_protocol::METHOD,
            &[("authorization", &authorization)],
        )
        .map_err(|_| Refused)
    }

    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused> {
        abi::grpc_send(stream, message).map_err(|_| Refused)
    }

    fn received(&self) -> Option<Vec<u8>> {
        abi::buffer(BufferType::GrpcReceiveBuffer).ok()
    }

    fn abandon_stream(&self, stream: StreamId) {
        abi::grpc_abandon(stream);
    }
}

/// Envoy's `config.core.v3.GrpcService`, with only the fields that are needed here.
#[derive(Clone, PartialEq, prost::Message)]
struct GrpcService {
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
}
