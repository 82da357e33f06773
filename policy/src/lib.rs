//! Everything that Latchkey's filter and its control plane must agree on.
//!
//! Sans-IO: events and the time go in, verdicts and bytes come out. This crate knows no host, no
//! clock, no async runtime and no source of randomness, and its tests run natively and as
//! `wasm32-unknown-unknown`.
//!
//! | module | owns |
//! |---|---|
//! | [`key`] | what a key looks like, its checksum, its mask, its digest |
//! | [`address`] | a key's IP lists |
//! | [`credential`] | which key a request presents |
//! | [`permission`] | permissions, the patterns by which they are held, and roles |
//! | [`limit`] | how often a key may be used, and in which windows of the calendar |
//! | [`meter`], [`ledger`] | one key's counters, and where all workers of an Envoy keep those of all keys |
//! | [`policy`] | what keys share, as requests use it |
//! | [`settings`] | what is one for a whole snapshot: the rules, imported keys, ended owners |
//! | [`route`] | which rule a request falls under, and what it asks for there |
//! | [`names`] | header names in every spelling that some servers take for the same |
//! | [`token`] | what is a name in HTTP |
//! | [`line_break`] | the line break at the end of a secret's file |
//! | [`record`] | the encoding of keys and policies, on the stream and in memory |
//! | [`cells`], [`table`], [`snapshot`] | the snapshot in shared memory: reading it, and changing it under readers |
//! | [`verdict`] | the decision, its codes and the answers to refused clients |
//! | [`identity`] | the headers that identify an admitted key to the upstream |
#![cfg_attr(
    not(test),
    // The filter runs this code in Envoy's workers, where a panic takes the worker's filter down.
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod address;
mod cell_names;
pub mod cells;
pub mod credential;
pub mod identity;
pub mod key;
pub mod ledger;
pub mod limit;
pub mod line_break;
pub mod meter;
pub mod names;
mod percent;
pub mod permission;
pub mod policy;
pub mod record;
pub mod route;
pub mod settings;
pub mod snapshot;
pub mod table;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;
pub mod token;
pub mod verdict;
