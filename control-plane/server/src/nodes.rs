//! The nodes that a control plane knows, and the messages that wait for each of them.
//!
//! | module | owns |
//! |---|---|
//! | `identity` | the identity of a node: one Envoy process |
//! | `hello` | the first message of a node, checked |
//! | `registry` | the nodes, connected or lost, and the revisions that they have acknowledged |
//! | `mailbox` | messages about usage that wait for a node's stream |
//! | `log_limit` | a limit on log lines about peers |

pub(crate) mod hello;
pub mod identity;
pub(crate) mod log_limit;
pub(crate) mod mailbox;
pub mod registry;
