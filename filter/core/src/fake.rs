//! A host for unit tests: a clock that the test sets, shared memory that several fakes can use, and
//! a record of all calls.

use crate::headers::RequestHeaders;
use crate::host::{
    ContextId, Host, Level, LocalResponse, MetricId, MetricKind, Nanos, Refused, StreamId,
};
use latchkey_policy::cells::{Cell as SharedCell, CellError, Cells, Expect};
use latchkey_policy::test_util::MemoryCells;
use latchkey_policy::verdict::GrpcStatus;
use latchkey_protocol::{FromNode, from_node};
use prost::Message as _;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u32,
    pub(crate) grpc_status: Option<GrpcStatus>,
    pub(crate) details: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) cells: Rc<MemoryCells>,
    pub(crate) clock: Rc<Cell<Nanos>>,
    pub(crate) monotonic: Rc<Cell<Nanos>>,
    pub(crate) environment: RefCell<BTreeMap<String, String>>,
    /// The instance's name; empty for `latchkey`.
    instance: RefCell<String>,
    randomness: Rc<Cell<u64>>,
    pub(crate) headers: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) response_headers: RefCell<BTreeMap<String, String>>,
    pub(crate) source: RefCell<String>,
    pub(crate) filter_state: RefCell<BTreeMap<String, String>>,
    pub(crate) response: RefCell<Option<Response>>,
    pub(crate) log: RefCell<Vec<String>>,
    pub(crate) metrics: RefCell<Vec<(String, u64)>>,
    /// Streams that are open and not abandoned.
    pub(crate) streams: RefCell<Vec<StreamId>>,
    pub(crate) sent: RefCell<Vec<from_node::Message>>,
    pub(crate) incoming: RefCell<Vec<u8>>,
    pub(crate) unreachable: Cell<bool>,
    /// The call that is refused, if any.
    pub(crate) stubborn: Cell<&'static str>,
    pub(crate) trailers: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The requests that are open, by their contexts, each with its source address.
    pub(crate) open: RefCell<BTreeMap<ContextId, String>>,
    pub(crate) resets: RefCell<Vec<ContextId>>,
    entered: Cell<ContextId>,
    opened: Cell<u32>,
}

impl FakeHost {
    /// Creates another worker of the same Envoy.
    pub(crate) fn sibling(&self) -> Self {
        Self {
            cells: Rc::clone(&self.cells),
            clock: Rc::clone(&self.clock),
            monotonic: Rc::clone(&self.monotonic),
            randomness: Rc::clone(&self.randomness),
            ..Self::default()
        }
    }

    pub(crate) fn advance_millis(&self, millis: u64) {
        self.clock.set(self.clock.get() + millis * 1_000_000);
        self.monotonic
            .set(self.monotonic.get() + millis * 1_000_000);
    }

    fn cell(&self, name: &str) -> String {
        let instance = self.instance.borrow();
        format!(
            "{}/{name}",
            if instance.is_empty() {
                "latchkey"
            } else {
                &instance
            }
        )
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.metrics
            .borrow()
            .iter()
            .filter(|(defined, _)| defined == name)
            .map(|(_, value)| value)
            .sum()
    }

    fn permit(&self, call: &str) -> Result<(), Refused> {
        if self.stubborn.get() == call {
            Err(Refused)
        } else {
            Ok(())
        }
    }
}

impl Cells for FakeHost {
    fn get(&self, name: &str) -> Result<Option<SharedCell>, CellError> {
        self.cells.get(&self.cell(name))
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        self.permit("set").map_err(|Refused| CellError::Host)?;
        self.cells.set(&self.cell(name), bytes, expect)
    }

    fn generation(&self) -> Option<u64> {
        self.cells.generation()
    }

    fn advance_generation(&self) {
        self.cells.advance_generation();
    }
}

impl Host for FakeHost {
    fn now(&self) -> Result<Nanos, Refused> {
        self.permit("now")?;
        Ok(self.clock.get())
    }

    fn monotonic(&self) -> Result<Nanos, Refused> {
        self.permit("monotonic")?;
        Ok(self.monotonic.get())
    }

    fn random(&self) -> Result<[u8; 16], Refused> {
        self.permit("random")?;
        self.randomness.set(self.randomness.get() + 1);
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&self.randomness.get().to_le_bytes());
        Ok(bytes)
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.environment.borrow().get(name).cloned()
    }

    fn use_instance(&self, instance: &str) {
        instance.clone_into(&mut self.instance.borrow_mut());
    }

    fn log(&self, _level: Level, message: &str) {
        self.log.borrow_mut().push(message.to_owned());
    }

    fn request_headers(&self) -> Result<RequestHeaders, Refused> {
        self.permit("request_headers")?;
        let headers = self.headers.borrow();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), &**value));
        RequestHeaders::read(RequestHeaders::encode(headers).unwrap()).ok_or(Refused)
    }

    fn request_trailers(&self) -> Result<RequestHeaders, Refused> {
        self.permit("request_trailers")?;
        let trailers = self.trailers.borrow();
        let trailers = trailers
            .iter()
            .map(|(name, value)| (name.as_bytes(), &**value));
        RequestHeaders::read(RequestHeaders::encode(trailers).unwrap()).ok_or(Refused)
    }

    fn source_address(&self) -> Result<Vec<u8>, Refused> {
        self.permit("source_address")?;
        Ok(self.source.borrow().as_bytes().to_vec())
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.permit("set_request_header")?;
        self.headers
            .borrow_mut()
            .insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        self.permit("remove_request_header")?;
        self.headers.borrow_mut().remove(name);
        Ok(())
    }

    fn remove_request_trailer(&self, name: &str) -> Result<(), Refused> {
        self.permit("remove_request_trailer")?;
        self.trailers.borrow_mut().remove(name);
        Ok(())
    }

    fn set_response_header(&self, name: &str, value: &str) -> Result<(), Refused> {
        self.permit("set_response_header")?;
        self.response_headers
            .borrow_mut()
            .insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), Refused> {
        self.permit(&format!("set_filter_state {name}"))?;
        self.filter_state
            .borrow_mut()
            .insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn respond(&self, response: &LocalResponse<'_>) -> Result<(), Refused> {
        let LocalResponse {
            status,
            grpc_status,
            details,
            headers,
            body,
        } = *response;

        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let response = Response {
            status,
            grpc_status,
            details: details.to_owned(),
            headers,
            body: body.to_owned(),
        };

        assert_eq!(
            self.response.replace(Some(response)),
            None,
            "answered twice"
        );
        Ok(())
    }

    fn enter(&self, context: ContextId) -> Result<(), Refused> {
        let source = self.open.borrow().get(&context).cloned().ok_or(Refused)?;
        self.source.replace(source);
        self.entered.set(context);
        Ok(())
    }

    fn reset(&self) -> Result<(), Refused> {
        self.permit("reset")?;
        assert!(
            self.open.borrow_mut().remove(&self.entered.get()).is_some(),
            "reset twice"
        );
        self.resets.borrow_mut().push(self.entered.get());
        Ok(())
    }

    fn node_id(&self) -> String {
        "node".to_owned()
    }

    fn define_metric(&self, _kind: MetricKind, name: &str) -> Option<MetricId> {
        let mut metrics = self.metrics.borrow_mut();
        metrics.push((name.to_owned(), 0));
        u32::try_from(metrics.len() - 1).ok()
    }

    fn count(&self, metric: MetricId) {
        self.metrics.borrow_mut()[metric as usize].1 += 1;
    }

    fn gauge(&self, metric: MetricId, value: u64) {
        self.metrics.borrow_mut()[metric as usize].1 = value;
    }

    fn open_stream(&self, cluster: &str, token: &str) -> Result<StreamId, Refused> {
        assert_eq!((cluster, token), ("latchkey", "node-token"));
        if self.unreachable.get() {
            return Err(Refused);
        }
        self.opened.set(self.opened.get() + 1);
        self.streams.borrow_mut().push(self.opened.get());
        Ok(self.opened.get())
    }

    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused> {
        assert!(self.streams.borrow().contains(&stream));
        if self.stubborn.get() == "send" {
            return Err(Refused);
        }
        self.sent
            .borrow_mut()
            .extend(FromNode::decode(message).unwrap().message);
        Ok(())
    }

    fn received(&self) -> Option<Vec<u8>> {
        Some(self.incoming.take())
    }

    fn abandon_stream(&self, stream: StreamId) {
        self.streams.borrow_mut().retain(|open| *open != stream);
    }
}
