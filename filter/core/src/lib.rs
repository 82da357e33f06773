//! Latchkey's filter: decides each request of an Envoy worker from memory that all workers share.
//!
//! The logic is generic over the host. A crate beside this one implements the host for Envoy's
//! Wasm modules.
//!
//! | module | owns |
//! |---|---|
//! | [`host`] | what the filter asks of Envoy, as one trait |
//! | [`headers`] | the headers of a request |
//! | [`config`] | the plugin's configuration |
//! | [`credentials`] | where a request may hold a key |
//! | [`request`] | the life of a request, from top to bottom |
//! | [`limit_headers`] | the headers that report a key's limits |
//! | [`source`] | the data that requests are decided by |
//! | [`meters`] | counting requests |
//! | [`client_address`] | where a request comes from, for IP lists |
//! | [`health`] | the answer to readiness probes |
//! | [`open_streams`] | streams that end when their secret does |
//! | [`stream_check`] | checking these again, and ending them |
//! | [`owned`] | header names that belong to the filter, and other spellings of them |
//! | [`report`] | reports of usage to the control plane |
//! | [`sync`] | one stream to the control plane |
//! | [`lease`] | which worker holds that stream |
//! | [`shared`] | what the requests of one worker share |
//! | [`worker`] | one worker: its configuration, its ticks, its stream when it has the lease |
//! | [`metrics`] | what Envoy's statistics show of all this |
//!
//! No panic may be reachable from a request, a message or a configuration: it would take the
//! worker's filter down.
#![cfg_attr(
    not(test),
    deny(
        clippy::panic,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod client_address;
pub mod config;
pub mod credentials;
#[cfg(feature = "fault")]
pub mod fault;
pub mod headers;
pub mod health;
pub mod host;
pub mod lease;
pub mod limit_headers;
pub mod meters;
pub mod metrics;
pub mod open_streams;
pub mod owned;
pub mod report;
pub mod request;
pub mod shared;
pub mod source;
pub mod stream_check;
pub mod sync;
pub mod worker;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod fuzz;
