//! Envoy, as the filter's host: the proxy-wasm ABI, and the entry points that Envoy calls.
//!
//! The SDK dispatches Envoy's calls to contexts. Calls to Envoy go to the ABI itself, where the SDK would panic on a
//! status that it does not expect: a panic takes the worker's filter down.

mod abi;

use crate::host::{Host, Level, MetricId, MetricKind, Nanos, Refused, StreamId};
use crate::request::{self, Outcome};
use crate::worker::{Shared, TICK_MILLIS, Worker};
use latchkey_policy::cells::{Cell, CellError, Cells, Expect};
use prost::Message as _;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MapType, MetricType};
use std::rc::Rc;

proxy_wasm::main! {{
    // For the SDK's own lines, and so that a panic leaves one.
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The root context of a VM: a worker's, or the main thread's.
#[derive(Default)]
struct Root {
    worker: Worker,
}

impl Context for Root {
    fn on_grpc_stream_message(&mut self, stream: u32, size: usize) {
        self.worker.on_message(&Envoy, stream, size);
    }

    fn on_grpc_stream_close(&mut self, stream: u32, status: u32) {
        self.worker.on_close(&Envoy, stream, status);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = abi::buffer(BufferType::PluginConfiguration).unwrap_or_default();
        if !self.worker.configure(&Envoy, &configuration) {
            return false;
        }
        #[cfg(feature = "fault")]
        if let Some(ready) = self.worker.shared().ready()
            && !ready.config.fault.on_configure(&Envoy)
        {
            return false;
        }
        // Without ticks this thread never holds the stream; it still decides by what others wrote.
        let _ = abi::set_tick_period(TICK_MILLIS);
        true
    }

    fn on_tick(&mut self) {
        self.worker.tick(&Envoy);
        #[cfg(feature = "fault")]
        if let Some(ready) = self.worker.shared().ready() {
            ready.config.fault.on_tick(&Envoy, self.worker.holds_stream());
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { worker: self.worker.shared(), life: request::Life::default() }))
    }
}

/// The context of one request.
struct Request {
    worker: Rc<Shared>,
    life: request::Life,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        #[cfg(feature = "fault")]
        if let Some(ready) = self.worker.ready() {
            ready.config.fault.on_request(&Envoy);
        }
        action(self.life.on_headers(&Envoy, &self.worker))
    }

    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        action(self.life.on_trailers(&Envoy, &self.worker))
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        self.life.on_response_headers(&Envoy);
        Action::Continue
    }
}

fn action(outcome: Outcome) -> Action {
    match outcome {
        Outcome::Pass => Action::Continue,
        Outcome::Stop => Action::Pause,
    }
}

/// The host of this VM.
#[derive(Debug, Clone, Copy)]
struct Envoy;

/// A write with this version fails on a cell that exists, whatever its version, and creates one that does not: Envoy
/// compares versions only where there is one, and counts them up from 1.
const NO_SUCH_VERSION: u32 = u32::MAX;

impl Cells for Envoy {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        match abi::get_shared_data(name) {
            Ok((bytes, version)) => Ok(Some(Cell { bytes, version })),
            Err(abi::NOT_FOUND) => Ok(None),
            Err(_) => Err(CellError::Host),
        }
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        let version = match expect {
            Expect::Absent => NO_SUCH_VERSION,
            Expect::Version(version) => version,
        };
        abi::set_shared_data(name, bytes, version).map_err(|status| match status {
            abi::CAS_MISMATCH => CellError::Conflict,
            _ => CellError::Host,
        })
    }
}

impl Host for Envoy {
    fn now(&self) -> Result<Nanos, Refused> {
        abi::current_time().map_err(|_| Refused)
    }

    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        abi::log(level, message);
    }

    /// By the property, because the ABI's header map gives the first value only.
    fn request_header(&self, name: &str) -> Result<Option<Vec<u8>>, Refused> {
        match abi::get_property(&["request", "headers", name]) {
            Ok(value) => Ok(Some(value)),
            Err(abi::NOT_FOUND) => Ok(None),
            Err(_) => Err(Refused),
        }
    }

    fn source_address(&self) -> Result<Vec<u8>, Refused> {
        abi::get_property(&["source", "address"]).map_err(|_| Refused)
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        abi::replace_header(MapType::HttpRequestHeaders, name, value).map_err(|_| Refused)
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        abi::remove_header(MapType::HttpRequestHeaders, name).map_err(|_| Refused)
    }

    fn remove_request_trailer(&self, name: &str) -> Result<(), Refused> {
        abi::remove_header(MapType::HttpRequestTrailers, name).map_err(|_| Refused)
    }

    fn set_response_header(&self, name: &str, value: &str) -> Result<(), Refused> {
        abi::replace_header(MapType::HttpResponseHeaders, name, value.as_bytes()).map_err(|_| Refused)
    }

    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), Refused> {
        abi::set_property(&[name], value.as_bytes()).map_err(|_| Refused)
    }

    fn respond(&self, status: u32, details: &str, headers: &[(&str, &str)], body: &str) -> Result<(), Refused> {
        abi::send_local_response(status, details, headers, body).map_err(|_| Refused)
    }

    fn node_id(&self) -> String {
        let id = abi::get_property(&["xds", "node", "id"]).unwrap_or_default();
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
        let service = GrpcService { envoy_grpc: Some(EnvoyGrpc { cluster_name: cluster.to_owned() }) };
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

/// Envoy's `config.core.v3.GrpcService`, as far as it is needed.
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
