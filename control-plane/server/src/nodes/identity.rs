//! The identity of a node: its `node.id` and the hash of a secret that only its process knows.

use latchkey_store::{NodeKey, instance_hash};
use sha2::{Digest as _, Sha256};

/// The number of hexadecimal digits of the hash in a handle.
const HANDLE_LEN: usize = 12;

/// One Envoy process: its `node.id`, and the SHA-256 of its snapshot secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// The `node.id` that the process reports.
    pub node_id: String,
    /// The hash, in hexadecimal.
    pub(crate) secret_hash: String,
}

impl NodeId {
    /// Identifies a node by its snapshot secret.
    pub(crate) fn from_secret(node_id: String, secret: &[u8]) -> Self {
        Self {
            node_id,
            secret_hash: hash(secret),
        }
    }

    /// Identifies a node of version 0.1 by its instance number, which is not secret.
    pub(crate) fn from_instance(node_id: String, instance: u64) -> Self {
        Self {
            node_id,
            secret_hash: instance_hash(&hexadecimal(instance)),
        }
    }

    /// Returns the process's handle, which operators use.
    pub fn handle(&self) -> &str {
        self.secret_hash
            .get(..HANDLE_LEN)
            .unwrap_or(&self.secret_hash)
    }

    /// Returns the node's key in the store.
    pub fn key(&self) -> NodeKey {
        (self.node_id.clone(), self.secret_hash.clone())
    }
}

/// Returns the SHA-256 in hexadecimal.
pub(crate) fn hash(secret: &[u8]) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Formats an instance number as outside the stream: 16 hexadecimal digits.
pub(crate) fn hexadecimal(instance: u64) -> String {
    format!("{instance:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handle_begins_the_hash() {
        let node = NodeId::from_secret("edge".to_owned(), b"abc");
        assert_eq!(
            node.secret_hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(node.handle(), "ba7816bf8f01");
        let former = NodeId::from_instance("edge".to_owned(), 0xfeed);
        assert_eq!(former.secret_hash, hash(b"instance:000000000000feed"));
    }
}
