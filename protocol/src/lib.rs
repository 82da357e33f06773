//! The messages of the stream between a node's filter and the control plane, generated from
//! `proto/latchkey.proto`, which documents them, and the gRPC names of the service.

#[allow(missing_docs, clippy::all, unreachable_pub, unused_qualifications)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/latchkey.v1.rs"));
}

pub use generated::*;

/// The service's full name in gRPC, which Envoy needs to open a stream.
pub const SERVICE: &str = "latchkey.v1.Snapshots";

/// The service's only method.
pub const METHOD: &str = "Sync";
