//! The validated first message of a node.

use latchkey_policy::record::{FORMAT, MIN_FORMAT};
use latchkey_protocol::{FromNode, Hello, Load, from_node};
use latchkey_store::{Epoch, Tag};
use tonic::Status;

use super::identity::{NodeId, hash, hexadecimal};

const MAX_NODE_ID_LEN: usize = 256;
const MAX_VERSION_LEN: usize = 64;
const SECRET_LEN: usize = 16;

/// The maximum staleness limit in seconds, ten years. Longer ones are reduced to it.
const MAX_STALENESS: u64 = 315_360_000;

/// The properties that a node reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeProperties {
    pub(crate) version: String,
    /// The version of the stream protocol that the node supports: 0 in version 0.1.
    pub(crate) protocol: u32,
    /// The time for which the node serves without contact, in seconds; 0 for no limit. Meaningless
    /// in version 0.1.
    pub(crate) staleness: u64,
    /// The name under which the store keeps the node's usage.
    pub(crate) meter: String,
    /// The instance number, only of version 0.1.
    pub(crate) instance: Option<u64>,
}

/// A node's identity and the state of its snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ValidatedHello {
    pub(crate) id: NodeId,
    pub(crate) facts: NodeProperties,
    /// The format of the records for the node.
    pub(crate) format: u32,
    /// The epoch of its snapshot, if it has one.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) revision: u64,
    pub(crate) tag: Option<Tag>,
    /// The node's clock, in Unix milliseconds, if reported.
    pub(crate) unix_millis: Option<i64>,
    /// The part of a snapshot that the node has loaded.
    pub(crate) load: Option<Load>,
}

/// The refusal of a first message, with the node's id if it is known.
#[derive(Debug)]
pub(crate) struct RefusedHello {
    pub(crate) status: Status,
    pub(crate) id: Option<NodeId>,
}

impl From<Status> for RefusedHello {
    fn from(status: Status) -> Self {
        Self { status, id: None }
    }
}

impl TryFrom<FromNode> for ValidatedHello {
    type Error = RefusedHello;

    fn try_from(message: FromNode) -> Result<Self, RefusedHello> {
        let Some(from_node::Message::Hello(hello)) = message.message else {
            return Err(Status::invalid_argument("the first message must be Hello").into());
        };
        check_lengths(&hello)?;

        let (id, facts) = identify(&hello);
        check_format(hello.format, &id)?;

        let epoch = optional("epoch", &hello.epoch)?;
        let tag = optional("tag", &hello.tag)?;
        let revision = if epoch.is_some() { hello.revision } else { 0 };
        Ok(Self {
            id,
            facts,
            format: hello.format.min(FORMAT),
            epoch,
            revision,
            tag,
            unix_millis: unix_millis(hello.unix_millis),
            load: hello.load,
        })
    }
}

/// Checks the lengths of the texts, and of the secrets if the node has any.
fn check_lengths(hello: &Hello) -> Result<(), RefusedHello> {
    if hello.node_id.len() > MAX_NODE_ID_LEN {
        return Err(invalid(format!(
            "node_id is longer than {MAX_NODE_ID_LEN} bytes"
        )));
    }
    if hello.version.len() > MAX_VERSION_LEN {
        return Err(invalid(format!(
            "version is longer than {MAX_VERSION_LEN} bytes"
        )));
    }
    if hello.protocol == 0 {
        return Ok(());
    }

    for (name, secret) in [
        ("snapshot_secret", &hello.snapshot_secret),
        ("meter_secret", &hello.meter_secret),
    ] {
        if secret.len() != SECRET_LEN {
            return Err(invalid(format!("{name} must be {SECRET_LEN} bytes")));
        }
    }
    Ok(())
}

/// Returns the node's identity and properties. A node of version 0.1 has an instance number and no
/// secrets.
fn identify(hello: &Hello) -> (NodeId, NodeProperties) {
    let (node_id, version) = (hello.node_id.clone(), hello.version.clone());
    if hello.protocol == 0 {
        let facts = NodeProperties {
            version,
            protocol: 0,
            staleness: 0,
            meter: hexadecimal(hello.instance),
            instance: Some(hello.instance),
        };
        return (NodeId::from_instance(node_id, hello.instance), facts);
    }

    let facts = NodeProperties {
        version,
        protocol: hello.protocol,
        staleness: hello.staleness_seconds.min(MAX_STALENESS),
        meter: hash(&hello.meter_secret),
        instance: None,
    };
    (NodeId::from_secret(node_id, &hello.snapshot_secret), facts)
}

/// Checks that records are written in a format that the node can read.
fn check_format(newest: u32, id: &NodeId) -> Result<(), RefusedHello> {
    if newest >= MIN_FORMAT {
        return Ok(());
    }
    let reason =
        format!("records are written in format {MIN_FORMAT} or newer, but the node reads {newest}");
    Err(RefusedHello {
        status: Status::failed_precondition(reason),
        id: Some(id.clone()),
    })
}

/// Returns the node's clock in Unix milliseconds, or `None` if it is not reported.
pub(crate) fn unix_millis(unix_millis: u64) -> Option<i64> {
    i64::try_from(unix_millis).ok().filter(|millis| *millis > 0)
}

fn invalid(reason: String) -> RefusedHello {
    Status::invalid_argument(reason).into()
}

fn optional(name: &str, bytes: &[u8]) -> Result<Option<[u8; 16]>, RefusedHello> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes
        .try_into()
        .map(Some)
        .map_err(|_| invalid(format!("{name} must be 16 bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn hello() -> Hello {
        Hello {
            node_id: "edge-1".into(),
            version: "0.2.0".into(),
            format: FORMAT,
            epoch: vec![1; 16],
            revision: 5,
            tag: vec![2; 16],
            snapshot_secret: vec![3; 16],
            meter_secret: vec![4; 16],
            staleness_seconds: 86_400,
            protocol: 1,
            ..Hello::default()
        }
    }

    fn validated(hello: Hello) -> Result<ValidatedHello, RefusedHello> {
        FromNode {
            message: Some(from_node::Message::Hello(hello)),
        }
        .try_into()
    }

    #[test]
    fn secrets_are_kept_as_hashes() {
        let node = validated(hello()).unwrap();
        assert_eq!(node.id, NodeId::from_secret("edge-1".into(), &[3; 16]));
        assert_eq!(
            (node.facts.meter, node.facts.staleness),
            (hash(&[4; 16]), 86_400)
        );

        let endless = validated(Hello {
            staleness_seconds: u64::MAX,
            ..hello()
        })
        .unwrap();

        assert_eq!(endless.facts.staleness, MAX_STALENESS);
    }

    #[test]
    fn former_version_is_identified_by_instance() {
        let former = Hello {
            instance: 7,
            protocol: 0,
            staleness_seconds: 9,
            ..hello()
        };
        let node = validated(Hello {
            snapshot_secret: vec![],
            meter_secret: vec![],
            tag: vec![],
            ..former
        })
        .unwrap();

        assert_eq!(node.id, NodeId::from_instance("edge-1".into(), 7));
        assert_eq!(
            (node.facts.meter.as_str(), node.facts.staleness, node.tag),
            ("0000000000000007", 0, None)
        );
    }

    #[test]
    fn records_have_a_readable_format() {
        for (format, written) in [
            (MIN_FORMAT, MIN_FORMAT),
            (FORMAT, FORMAT),
            (FORMAT + 1, FORMAT),
        ] {
            assert_eq!(
                validated(Hello { format, ..hello() }).unwrap().format,
                written
            );
        }

        for older in [0, MIN_FORMAT - 1] {
            let refused = validated(Hello {
                format: older,
                ..hello()
            })
            .unwrap_err();
            assert_eq!(refused.status.code(), Code::FailedPrecondition);
            assert_eq!(
                refused.id,
                Some(NodeId::from_secret("edge-1".into(), &[3; 16]))
            );
        }
    }

    #[test]
    fn malformed_hello_is_refused() {
        let ack = from_node::Message::Ack(latchkey_protocol::Ack {
            sequence: 1,
            revision: 1,
        });
        let long = "x".repeat(257);

        for refused in [
            FromNode { message: None }.try_into(),
            FromNode { message: Some(ack) }.try_into(),
            validated(Hello {
                node_id: long.clone(),
                ..hello()
            }),
            validated(Hello {
                version: long,
                ..hello()
            }),
            validated(Hello {
                epoch: vec![1; 15],
                ..hello()
            }),
            validated(Hello {
                tag: vec![1; 17],
                ..hello()
            }),
            validated(Hello {
                snapshot_secret: vec![],
                ..hello()
            }),
            validated(Hello {
                meter_secret: vec![1; 8],
                ..hello()
            }),
        ] {
            let refused: Result<ValidatedHello, RefusedHello> = refused;
            assert_eq!(refused.unwrap_err().status.code(), Code::InvalidArgument);
        }
    }
}
