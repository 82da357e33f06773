//! The settings of the stream to the nodes.

use clap::{Args, value_parser};
use latchkey_model::secret::NodeToken;
use std::net::SocketAddr;
use std::time::Duration;

use crate::nodes::registry::NodeLimits;

/// The stream's address, credentials and limits.
#[derive(Debug, Clone, Args)]
pub struct StreamConfig {
    /// Address to which Envoys open their streams; port 0 selects a free port
    #[arg(
        id = "stream-listen",
        long = "stream-listen",
        env = "LATCHKEY_STREAM_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDR"
    )]
    pub listen: SocketAddr,
    /// Token that any Envoy may present, at least 16 characters. Deprecated: create a token for
    /// each group of Envoys with `latchkey node-token create`
    #[arg(
        long,
        env = "LATCHKEY_NODE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub node_token: Option<NodeToken>,
    /// Maximum number of open connections of Envoys, within the limit of open files; further ones
    /// wait to be accepted
    #[arg(
        id = "stream-connections",
        long = "stream-connections",
        env = "LATCHKEY_STREAM_CONNECTIONS",
        default_value_t = 20_000,
        value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub connections: u32,
    /// Time for which a node that lost its stream still counts as serving
    #[arg(
        long,
        env = "LATCHKEY_NODE_GRACE_MS",
        default_value_t = 10_000,
        value_name = "MILLISECONDS"
    )]
    pub node_grace_ms: u64,
    /// Count lost Envoys of version 0.1, which report no staleness limit, until they return or are
    /// forgotten
    #[arg(long, env = "LATCHKEY_REQUIRE_STALENESS")]
    pub require_staleness: bool,
    /// Maximum number of counted Envoys, connected or lost; beyond it, lost ones count as unknown
    /// and new ones are refused
    #[arg(
        long,
        env = "LATCHKEY_MAX_NODES",
        default_value_t = 10_000,
        value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub max_nodes: u32,
}

impl StreamConfig {
    /// Returns the time for which lost nodes count, and the maximum number of nodes.
    pub(crate) fn node_limits(&self) -> NodeLimits {
        NodeLimits {
            grace: Duration::from_millis(self.node_grace_ms),
            require_staleness: self.require_staleness,
            max_nodes: usize::try_from(self.max_nodes).unwrap_or(usize::MAX),
        }
    }
}
