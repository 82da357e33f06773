//! The first message of a node, checked.

use latchkey_policy::record::FORMAT;
use latchkey_protocol::{FromNode, Hello, from_node};
use tonic::Status;

use super::registry::NodeId;
use crate::store::Epoch;

const MAX_NODE_ID_LEN: usize = 256;
const MAX_VERSION_LEN: usize = 64;

/// Who a node is, and what it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) id: NodeId,
    pub(super) version: String,
    epoch: Vec<u8>,
    revision: u64,
}

impl Introduction {
    /// The revision that the node can go on from, if what it holds is part of this store's history.
    pub(super) fn resumes_from(&self, epoch: &Epoch, newest: u64) -> Option<u64> {
        (self.epoch == epoch && (1..=newest).contains(&self.revision)).then_some(self.revision)
    }
}

impl TryFrom<FromNode> for Introduction {
    type Error = Status;

    fn try_from(message: FromNode) -> Result<Self, Status> {
        let Some(from_node::Message::Hello(hello)) = message.message else {
            return Err(Status::invalid_argument("the first message must be Hello"));
        };
        let Hello { node_id, instance, version, format, epoch, revision, .. } = hello;
        if node_id.len() > MAX_NODE_ID_LEN {
            return Err(Status::invalid_argument(format!("node_id is longer than {MAX_NODE_ID_LEN} bytes")));
        }
        if version.len() > MAX_VERSION_LEN {
            return Err(Status::invalid_argument(format!("version is longer than {MAX_VERSION_LEN} bytes")));
        }
        if format < FORMAT {
            let told = format!("records are written in format {FORMAT}, and the node reads {format} at most");
            return Err(Status::failed_precondition(told));
        }
        Ok(Self { id: NodeId { node_id, instance }, version, epoch, revision })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn hello() -> Hello {
        Hello {
            node_id: "edge-1".into(),
            instance: 7,
            version: "0.1.0".into(),
            format: FORMAT,
            epoch: vec![1; 16],
            revision: 5,
            ..Hello::default()
        }
    }

    fn introduction(hello: Hello) -> Result<Introduction, Status> {
        FromNode { message: Some(from_node::Message::Hello(hello)) }.try_into()
    }

    #[test]
    fn a_node_resumes_only_within_this_history() {
        let node = introduction(hello()).unwrap();
        assert_eq!(node.resumes_from(&[1; 16], 5), Some(5));
        assert_eq!(node.resumes_from(&[1; 16], 9), Some(5));
        assert_eq!(node.resumes_from(&[1; 16], 4), None, "it is ahead of this store");
        assert_eq!(node.resumes_from(&[2; 16], 9), None, "it holds another store's snapshot");
        let empty = introduction(Hello { revision: 0, ..hello() }).unwrap();
        assert_eq!(empty.resumes_from(&[1; 16], 9), None, "it holds nothing");
    }

    #[test]
    fn a_node_reads_the_format_that_is_written() {
        assert!(introduction(Hello { format: FORMAT + 1, ..hello() }).is_ok());
        for older in [0, FORMAT - 1] {
            let refused = introduction(Hello { format: older, ..hello() }).unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
        }
    }

    #[test]
    fn what_is_not_hello_or_too_long_is_refused() {
        let ack = from_node::Message::Ack(latchkey_protocol::Ack { sequence: 1, revision: 1 });
        let long = "x".repeat(257);
        for refused in [
            FromNode { message: None }.try_into(),
            FromNode { message: Some(ack) }.try_into(),
            introduction(Hello { node_id: long.clone(), ..hello() }),
            introduction(Hello { version: long, ..hello() }),
        ] {
            let refused: Result<Introduction, Status> = refused;
            assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        }
    }
}
