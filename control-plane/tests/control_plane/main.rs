//! The control plane as its neighbours see it: the API over HTTP, the stream over gRPC, and the binary. Every test
//! has a control plane of its own, with a database in a temporary directory, free ports and a clock that only moves
//! when it is told to.

mod accounts;
mod acting;
mod audit;
mod backup;
mod binary;
mod bounds;
mod caching;
mod cli;
mod connections;
mod contact;
mod credentials;
mod database;
mod deletion;
mod editing;
mod grants;
mod harness;
mod history;
mod import;
mod input;
mod keys;
mod links;
mod listing;
mod lost;
mod machines;
mod matrix;
mod migration;
mod myself;
mod names;
mod node;
mod node_tokens;
mod openapi;
mod operate;
mod permissions;
mod refused;
mod regenerate;
mod restore;
mod routes;
mod services;
mod sessions;
mod store;
mod stream;
mod subaccounts;
mod tiers;
mod unknown;
mod usage;
mod users;
mod webhooks;

mod enforcement;
mod expired;
mod explain;
