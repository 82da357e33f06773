//! The end-to-end tests. Each starts a separate Latchkey, with the harness in `tests/src`. They are
//! one binary, so that the harness is linked once.

mod addresses;
mod authentication;
mod broken;
mod chaos;
mod clock;
mod configuration;
mod console;
mod contract;
mod crash;
mod deletion;
mod docs;
mod edge;
mod exactness;
mod explain;
mod fleet;
mod goodbye;
mod grpc;
mod handover;
mod header_names;
mod health;
mod history;
mod hot_restart;
mod http2;
mod identity;
mod import;
mod limits;
mod listener_update;
mod malformed;
mod many_nodes;
mod memory;
mod node_tokens;
mod open_streams;
mod outage;
mod path_case;
mod paths;
mod permissions;
mod regenerate;
mod restore;
mod revocation;
mod rogue;
mod routes;
mod secrets;
mod seeds;
mod shared_memory;
mod shared_vm;
mod slow_link;
mod staleness;
mod storage;
mod takeover;
mod upgrade;
mod usage;
mod verdict;

use latchkey_policy::key::{Environment, KeyFormat};

/// Returns a key in the right format that was never created.
fn unknown_key() -> String {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(5);
        Ok::<_, std::convert::Infallible>(())
    };
    let Ok(key) = KeyFormat::default().generate(Environment::Live, fill);
    key.expose().to_owned()
}
