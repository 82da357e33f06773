//! Latchkey's control plane: owns the keys, and pushes every change to every Envoy.
//!
//! | module | owns |
//! |---|---|
//! | `http`, `api` | HTTP: what people and their tools ask for |
//! | [`store`] | the database, and the revision that every change advances |
//! | `stream` | gRPC: what nodes are sent, and what they have acknowledged |
//! | `refused_logins` | entries of the audit about log-ins that were refused |
//! | `usage` | what nodes have counted, and what each is told of the others |
//! | [`webhook`] | telling receivers what becomes of keys |
//! | `removals` | removing the keys of deleted users and closed accounts, in steps |
//! | `enforcement` | waiting until every node decides by a revision |
//! | `explain` | what the filter would decide on a request, and why |
//! | [`cli`] | the commands that call the API |
//! | [`backup`] | the commands that work on the database's file |
//! | [`at_rest`] | the key that encrypts the digests of imported keys in the database |
//! | [`start`](mod@start), [`config`] | putting it together |
//!
//! A revocation goes: `api` → `store` (one transaction, revision + 1) → `stream` (woken by the
//! revision; one batch to every node) → acknowledgements → `enforcement` → the caller's answer.

mod api;
pub mod at_rest;
pub mod authority;
pub mod backup;
mod ceilings;
pub mod cli;
mod client_network;
pub mod clock;
pub mod config;
mod console;
mod enforcement;
mod entity_tag;
mod explain;
mod http;
pub mod ip_list;
pub mod issues;
mod json;
pub mod limits;
pub mod log;
mod metrics;
mod node_pattern;
mod open_files;
pub mod password;
mod permissions;
pub mod random;
mod refused_logins;
mod removals;
pub mod role;
mod route_document;
mod schema;
pub mod secret;
mod secret_files;
pub mod selection;
mod serve;
pub mod start;
mod stop;
pub mod store;
mod stream;
mod text;
pub mod tier;
pub mod tls;
mod usage;
pub mod webhook;

pub use config::Config;
pub use serve::serve;
pub use start::{Running, StartError, start, start_with_clock};
