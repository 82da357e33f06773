//! Latchkey's control plane behind its API: owns the keys, and pushes every change to every Envoy.
//!
//! | module | owns |
//! |---|---|
//! | `http`, `api` | HTTP: what people and their tools ask for |
//! | `nodes` | the nodes, and the revisions that they have acknowledged |
//! | `stream` | gRPC: what nodes are sent, and what they have acknowledged |
//! | `refused_logins` | entries of the audit about log-ins that were refused |
//! | `usage` | what nodes have counted, and what each is told of the others |
//! | `webhook` | telling receivers what becomes of keys |
//! | `removals` | removing the keys of deleted users and closed accounts, in steps |
//! | `enforcement` | waiting until every node decides by a revision |
//! | `password` | password hashes, a bounded number at a time |
//! | [`backup`] | the commands that work on the database's file |
//! | [`at_rest`] | settings and commands about the key that encrypts digests of imported keys |
//! | `metrics`, [`log`] | metrics and logs |
//! | [`start`](mod@start), [`config`] | putting it together |
//!
//! The database is the store's (`latchkey-store`), and pages for people are mounted from outside
//! ([`Pages`]).
//!
//! A revocation goes: `api` → store (one transaction, revision + 1) → `stream` (woken by the
//! revision; one batch to every node) → acknowledgements → `enforcement` → the caller's answer.

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
