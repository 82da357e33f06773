//! Faults on demand, for the tests of what Envoy does with a filter that fails. Only with the
//! feature `fault`.
//!
//! | field of `fault` | effect |
//! |---|---|
//! | `configure_call`, `configure_how` | the n-th `on_configure` of this Envoy fails (`"fail"`) or traps (`"trap"`) |
//! | `request_header` | a request with this header traps |
//! | `holder_traps` | this many holders of the stream trap, one after the other |

use crate::host::{Host, Level};
use latchkey_policy::cells::{CellError, Expect};
use serde_json::Value;

/// The faults to inject.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    configure_call: u64,
    configure_traps: bool,
    request_header: Option<String>,
    holder_traps: u64,
}

impl Fault {
    /// Reads the field `fault`; a value that is not understood is no fault.
    #[allow(clippy::needless_pass_by_value)]
    pub fn read(value: Value) -> Self {
        let field = |name: &str| value.get(name);
        Self {
            configure_call: field("configure_call")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            configure_traps: field("configure_how").and_then(Value::as_str) == Some("trap"),
            request_header: field("request_header")
                .and_then(Value::as_str)
                .map(str::to_owned),
            holder_traps: field("holder_traps")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        }
    }

    /// Returns false, or traps, at the configured call.
    pub fn on_configure(&self, host: &impl Host) -> bool {
        if self.configure_call == 0 || count(host, "fault_configure") != self.configure_call {
            return true;
        }
        host.log(Level::Warn, "fault: this on_configure does not succeed");
        if self.configure_traps {
            trap();
        }
        false
    }

    /// Traps, if the request asks for it.
    pub fn on_request(&self, host: &impl Host) {
        if let Some(header) = &self.request_header
            && host
                .request_headers()
                .is_ok_and(|headers| headers.has(header))
        {
            trap();
        }
    }

    /// Traps in the thread that holds the stream, as often as configured.
    pub fn on_tick(&self, host: &impl Host, holds_stream: bool) {
        if holds_stream && self.holder_traps > 0 && count(host, "fault_holder") <= self.holder_traps
        {
            host.log(Level::Warn, "fault: the holder of the stream traps");
            trap();
        }
    }
}

/// Counts across all threads of this Envoy.
fn count(host: &impl Host, name: &str) -> u64 {
    loop {
        let Ok(cell) = host.get(name) else { return 0 };
        let before = cell
            .as_ref()
            .and_then(|cell| Some(u64::from_le_bytes(*cell.bytes.first_chunk()?)))
            .unwrap_or(0);
        let now = before.saturating_add(1);
        match host.set(name, &now.to_le_bytes(), Expect::unchanged(cell.as_ref())) {
            Ok(()) => return now,
            Err(CellError::Conflict) => {}
            Err(CellError::Host) => return 0,
        }
    }
}

#[allow(clippy::panic)]
fn trap() -> ! {
    panic!("fault")
}
