//! Latchkey's control plane without the console: owns the keys, and pushes every change to every
//! Envoy.
//!
//! | module | owns |
//! |---|---|
//! | `http`, `api` | HTTP: the management API |
//! | `nodes` | the nodes, and the revisions that they have acknowledged |
//! | `stream` | gRPC: updates to nodes, and their acknowledgements |
//! | `refused_logins` | audit entries about refused logins |
//! | `usage` | nodes' usage counts, and their distribution to other nodes |
//! | `webhook` | notifications about changes to keys |
//! | `removals` | removing the keys of deleted users and closed accounts, in steps |
//! | `enforcement` | waiting until every node enforces a revision |
//! | `password` | password hashes, a bounded number at a time |
//! | [`backup`] | the commands that work on the database's file |
//! | [`at_rest`] | settings and commands for the key that encrypts digests of imported keys |
//! | `metrics`, [`log`] | metrics and logs |
//! | [`start`](mod@start), [`config`] | the start, and the settings |
//!
//! The database belongs to the store (`latchkey-store`), and the console's pages are mounted from
//! outside ([`Pages`]).
//!
//! The path of a revocation: `api` → store (one transaction, revision + 1) → `stream` (woken by the
//! revision; one batch to every node) → acknowledgements → `enforcement` → the caller's response.

mod api;
pub mod at_rest;
pub mod backup;
pub mod config;
mod enforcement;
mod http;
pub mod log;
mod metrics;
mod nodes;
mod open_files;
mod password;
mod refused_logins;
mod removals;
mod serve;
mod setting;
pub mod start;
mod stop;
mod stream;
pub mod tls;
mod usage;
mod webhook;

pub use api::{Pages, check_import_row};
pub use config::Config;
pub use serve::serve;
pub use start::{Running, StartError, start_with_clock};
