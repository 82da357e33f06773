//! Latchkey's control plane without its API and the console: pushes every change to every Envoy,
//! and runs everything that the API works with.
//!
//! | module | owns |
//! |---|---|
//! | [`http`] | HTTP connections; the calls on them are those of the API |
//! | [`backend`](Backend) | the parts that the API works with |
//! | [`nodes`] | the nodes, and the revisions that they have acknowledged |
//! | `stream` | gRPC: updates to nodes, and their acknowledgements |
//! | [`refused_logins`] | audit entries about refused logins |
//! | `usage` | nodes' usage counts, and their distribution to other nodes |
//! | `webhook` | notifications about changes to keys |
//! | `removals` | removing the keys of deleted users and closed accounts, in steps |
//! | [`enforcement`](Enforcement) | waiting until every node enforces a revision |
//! | [`password`] | password hashes, a bounded number at a time |
//! | [`backup`] | the commands that work on the database's file |
//! | [`at_rest`] | settings and commands for the key that encrypts digests of imported keys |
//! | [`metrics`], [`log`] | metrics and logs |
//! | [`start`](mod@start), [`config`] | the start, and the settings |
//!
//! The database belongs to the store (`latchkey-store`), and the API (`latchkey-api`) is mounted at
//! the start, as a router over a [`Backend`].
//!
//! The path of a revocation: API → store (one transaction, revision + 1) → `stream` (woken by the
//! revision; one batch to every node) → acknowledgements → `enforcement` → the caller's response.

pub mod at_rest;
mod backend;
pub mod backup;
pub mod config;
mod enforcement;
pub mod http;
pub mod log;
pub mod metrics;
pub mod nodes;
mod open_files;
pub mod password;
pub mod refused_logins;
mod removals;
mod serve;
mod setting;
pub mod start;
mod stop;
mod stream;
pub mod tls;
mod usage;
mod webhook;

pub use backend::Backend;
pub use config::Config;
pub use enforcement::Enforcement;
pub use serve::serve;
pub use start::{Running, StartError, start_with_clock};
pub use stream::FeedHealth;
pub use webhook::reach::AllowedDestinations;
