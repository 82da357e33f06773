//! The functions that Envoy calls. Each call into a VM costs every request a part of a microsecond,
//! so the filter exports no function for bodies or for the log of a request.
//!
//! For most requests no state is kept. State that is kept for a request is dropped with its
//! response, or at the end of the request.
//!
//! Envoy calls `proxy_on_done` for every request, though it is needed for filters only: a filter
//! that ends in order hands the stream over, and the last of the process says goodbye.
// Needed for the attributes that export functions under their names.
#![allow(unsafe_code)]

use super::{Envoy, abi};
use latchkey_filter_core::request::{self, Action, RequestContext};
use latchkey_filter_core::shared::Shared;
use latchkey_filter_core::stream_check::StreamCheck;
use latchkey_filter_core::worker::{TICK_MILLIS, Worker};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

const TRUE: u32 = 1;
const FALSE: u32 = 0;
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

thread_local! {
    // A VM has one thread.
    static VM: Vm = Vm::default();
}

/// The state of one VM: a worker's, or the main thread's.
#[derive(Default)]
struct Vm {
    host: Envoy,
    /// The filters of this VM: one, unless several filters with different configurations share it.
    roots: RefCell<Vec<Root>>,
    /// The requests with state, by their contexts.
    streams: RefCell<BTreeMap<u32, Stream>>,
    /// True once a request came: the main thread's VM has none.
    serves: Cell<bool>,
}

/// A filter with one configuration.
struct Root {
    context: u32,
    host: Envoy,
    worker: RefCell<Worker>,
    shared: Rc<Shared>,
    stream_check: StreamCheck,
    /// True once the filter has had a tick.
    ticks: Cell<bool>,
}

/// The state that is kept for a request.
#[derive(Default)]
struct Stream {
    /// The root context that the request belongs to, if there are several.
    root: u32,
    state: RequestContext,
}

impl Vm {
    fn create(&self, context: u32, parent: u32) {
        let (Ok(mut roots), Ok(mut streams)) =
            (self.roots.try_borrow_mut(), self.streams.try_borrow_mut())
        else {
            return;
        };

        if parent == 0 {
            let worker = Worker::default();
            let shared = worker.shared();
            let (host, worker) = (Envoy::default(), RefCell::new(worker));
            roots.push(Root {
                context,
                host,
                worker,
                shared,
                stream_check: StreamCheck::default(),
                ticks: Cell::new(false),
            });
        } else if roots.len() > 1 {
            streams.insert(
                context,
                Stream {
                    root: parent,
                    ..Stream::default()
                },
            );
        }
    }

    /// Calls `call` with the worker of a root context.
    fn with_worker<T>(
        &self,
        context: u32,
        call: impl FnOnce(&Envoy, &mut Worker) -> T,
    ) -> Option<T> {
        let roots = self.roots.try_borrow().ok()?;
        let root = roots.iter().find(|root| root.context == context)?;
        Some(call(&root.host, &mut *root.worker.try_borrow_mut().ok()?))
    }

    /// Calls `call` with the state by which a request is decided.
    fn with_shared<T>(&self, context: u32, call: impl FnOnce(&Envoy, &Shared) -> T) -> Option<T> {
        let roots = self.roots.try_borrow().ok()?;
        let root = match &**roots {
            [only] => only,
            several => {
                let parent = self.streams.try_borrow().ok()?.get(&context)?.root;
                several.iter().find(|root| root.context == parent)?
            }
        };
        Some(call(&root.host, &root.shared))
    }

    fn on_request_headers(&self, context: u32) -> Action {
        self.serves.set(true);
        let mut state = RequestContext::default();
        let action = self.with_shared(context, |host, shared| {
            #[cfg(feature = "fault")]
            if let Some(ready) = shared.ready() {
                ready.config.fault.on_request(host);
            }
            let action = state.on_headers(host, shared);
            if let Some(open) = state.take_open() {
                shared.open_streams.add(context, open);
            }
            action
        });

        if state.is_needed() {
            let Ok(mut streams) = self.streams.try_borrow_mut() else {
                return Action::Pause;
            };
            streams.entry(context).or_default().state = state;
        }

        // A request that belongs to no root must not reach the upstream; the guard refuses it as
        // well.
        action.unwrap_or(Action::Pause)
    }

    /// Cleans the trailers for all filters that share the VM: a name that none of them lets through
    /// as a header must not come in a trailer.
    fn on_request_trailers(&self) -> Action {
        let Ok(roots) = self.roots.try_borrow() else {
            return Action::Pause;
        };
        let pass = |root: &Root| request::on_trailers(&root.host, &root.shared) == Action::Continue;
        if roots.iter().all(pass) {
            Action::Continue
        } else {
            Action::Pause
        }
    }

    fn on_response_headers(&self, context: u32) {
        let stream = self
            .streams
            .try_borrow_mut()
            .ok()
            .and_then(|mut streams| streams.remove(&context));
        if let Some(stream) = stream {
            stream.state.on_response_headers(&self.host);
        }
    }

    fn on_tick(&self, context: u32) {
        if self.is_first_tick(context) {
            let _ = abi::set_tick_period(TICK_MILLIS);
        }
        self.with_worker(context, |host, worker| {
            worker.tick(host, self.serves.get());
            #[cfg(feature = "fault")]
            if let Some(ready) = worker.shared().ready() {
                ready.config.fault.on_tick(host, worker.holds_stream());
            }
        });
        self.check_open_streams(context);
    }

    /// Ends streams whose secret has ended.
    fn check_open_streams(&self, tick_of: u32) {
        let Ok(roots) = self.roots.try_borrow() else {
            return;
        };
        let Some(root) = roots.iter().find(|root| root.context == tick_of) else {
            return;
        };
        if !root.shared.open_streams.is_empty() {
            root.stream_check.tick(&root.host, &root.shared);
            // The rest of this tick belongs to the root context.
            let _ = abi::set_effective_context(tick_of);
        }
    }

    fn is_first_tick(&self, context: u32) -> bool {
        let Ok(roots) = self.roots.try_borrow() else {
            return false;
        };
        roots
            .iter()
            .any(|root| root.context == context && !root.ticks.replace(true))
    }

    /// Saves the counts that the workers have not settled yet, as far as they can be read.
    fn settle(&self) {
        let Ok(roots) = self.roots.try_borrow() else {
            return;
        };
        roots
            .iter()
            .for_each(|root| root.shared.meters.settle(&root.host));
    }

    /// Handles the end of a request or of a filter.
    fn on_done(&self, context: u32) {
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.remove(&context);
        }

        let Ok(mut roots) = self.roots.try_borrow_mut() else {
            return;
        };
        roots
            .iter()
            .for_each(|root| root.shared.open_streams.remove(context));
        let Some(at) = roots.iter().position(|root| root.context == context) else {
            return;
        };
        let root = roots.remove(at);
        drop(roots);
        if let Ok(mut worker) = root.worker.try_borrow_mut() {
            worker.finish(&root.host);
        }
    }
}

fn bool_of(value: bool) -> u32 {
    if value { TRUE } else { FALSE }
}

fn number_of(action: Action) -> u32 {
    match action {
        Action::Continue => CONTINUE,
        Action::Pause => PAUSE,
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // Before a panic takes the VM down, it is logged and the counts are saved.
    std::panic::set_hook(Box::new(|panic| {
        abi::log(abi::LogLevel::Critical, &panic.to_string());
        VM.with(Vm::settle);
    }));
}

/// Allocates memory that the host fills: `abi` takes it over.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    abi::allocate(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    VM.with(|vm| vm.create(context, parent));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_context: u32, _configuration_size: usize) -> u32 {
    TRUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(context: u32, _size: usize) -> u32 {
    let configured = VM.with(|vm| vm.with_worker(context, super::configure));
    bool_of(configured == Some(true))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(context: u32) {
    VM.with(|vm| vm.on_tick(context));
}

/// Ends a context. Returns that there is nothing to wait for.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    VM.with(|vm| vm.on_done(context));
    TRUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _headers: usize, _end_of_stream: u32) -> u32 {
    VM.with(|vm| number_of(vm.on_request_headers(context)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(_context: u32, _trailers: usize) -> u32 {
    VM.with(|vm| number_of(vm.on_request_trailers()))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, _end_of_stream: u32) -> u32 {
    VM.with(|vm| vm.on_response_headers(context));
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive(context: u32, stream: u32, size: usize) {
    VM.with(|vm| {
        vm.with_worker(context, |host, worker| {
            worker.on_message(host, stream, size);
        })
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_close(context: u32, stream: u32, status: u32) {
    VM.with(|vm| {
        vm.with_worker(context, |host, worker| {
            worker.on_close(host, stream, status);
        })
    });
}
