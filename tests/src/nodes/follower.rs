//! The reaction of a node to the messages that it receives. Sans-IO: messages go in,
//! acknowledgements come out.

use std::hash::{DefaultHasher, Hasher as _};

use anyhow::{Context as _, Result, bail, ensure};
use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::{FORMAT, KeyRecord, Kind, PolicyRecord, Records};
use latchkey_policy::settings::SettingsRecord;
use latchkey_protocol::{Ack, Batch, Hello, ToNode, UsageAck, Welcome, to_node};

/// The number of keys whose numbers are kept, to report their use.
const NUMBERS: usize = 4_096;

/// The position that is in force at a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) epoch: Vec<u8>,
    pub(super) revision: u64,
    pub(super) tag: Vec<u8>,
}

/// The totals of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of key records.
    pub keys: u64,
    /// The number of policy records.
    pub policies: u64,
    /// The bytes of all records.
    pub bytes: u64,
    /// A checksum of all records, which does not depend on their order.
    pub checksum: u64,
    routes: bool,
}

/// The result of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing to report.
    Nothing,
    /// The node was welcomed: the stream is usable from here on.
    Welcomed,
    /// A batch is in memory, and this message acknowledges it.
    Taken(Ack),
    /// A report is stored.
    Stored(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeted,
    Loading,
    Following,
}

/// One stream of a node.
#[derive(Debug)]
pub(super) struct Follower {
    state: State,
    position: Position,
    epoch: Vec<u8>,
    sequence: u64,
    totals: Totals,
    numbers: Vec<u64>,
}

impl Follower {
    /// Creates the stream of a node that serves from `position`, which has revision 0 if it has no
    /// snapshot.
    pub(super) fn new(position: Position) -> Self {
        let (totals, numbers) = (Totals::default(), Vec::new());
        Self {
            state: State::Greeted,
            position,
            epoch: Vec::new(),
            sequence: 0,
            totals,
            numbers,
        }
    }

    pub(super) fn hello(&self, node_id: String, instance: u64) -> Hello {
        let Position {
            epoch,
            revision,
            tag,
        } = self.position.clone();
        let secret = |kind: u8| [[kind; 8], instance.to_le_bytes()].concat();
        Hello {
            node_id,
            snapshot_secret: secret(1),
            meter_secret: secret(2),
            staleness_seconds: 60,
            protocol: 1,
            tag,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            epoch,
            revision,
            ..Hello::default()
        }
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// Returns the totals of all records on this stream so far.
    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Returns the numbers of some keys of this stream.
    pub(super) fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    pub(super) fn is_following(&self) -> bool {
        self.state == State::Following
    }

    /// Takes in a message. It fails for every reason for which the filter gives a stream up.
    pub(super) fn receive(&mut self, message: ToNode) -> Result<Outcome> {
        match message.message {
            Some(to_node::Message::Welcome(welcome)) => {
                self.welcome(welcome).map(|()| Outcome::Welcomed)
            }
            Some(to_node::Message::Batch(batch)) => self.apply(&batch).map(Outcome::Taken),
            Some(to_node::Message::UsageAck(UsageAck { sequence })) => {
                Ok(Outcome::Stored(sequence))
            }
            Some(to_node::Message::RemoteUsage(_)) => {
                ensure!(
                    self.state != State::Greeted,
                    "counts came before the welcome"
                );
                Ok(Outcome::Nothing)
            }
            Some(to_node::Message::Heartbeat(_) | to_node::Message::Waiting(_)) | None => {
                Ok(Outcome::Nothing)
            }
        }
    }

    fn welcome(&mut self, welcome: Welcome) -> Result<()> {
        ensure!(self.state == State::Greeted, "a second welcome came");
        ensure!(
            welcome.format == FORMAT,
            "records are in format {}, not {FORMAT}",
            welcome.format
        );
        ensure!(
            welcome.epoch.len() == 16,
            "an epoch came that is not 16 bytes"
        );
        if welcome.resume {
            let known = self.position.revision > 0 && self.position.epoch == welcome.epoch;
            ensure!(known, "changes to a snapshot came that is not here");
            self.state = State::Following;
        } else {
            self.state = State::Loading;
        }
        self.epoch = welcome.epoch;
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) -> Result<Ack> {
        ensure!(
            self.state != State::Greeted,
            "a batch came before the welcome"
        );
        ensure!(
            batch.sequence == self.sequence + 1,
            "batch {} came after {}",
            batch.sequence,
            self.sequence
        );
        self.take(batch)
            .with_context(|| format!("batch {}", batch.sequence))?;
        self.sequence = batch.sequence;
        if batch.revision != 0 {
            if self.state == State::Loading {
                ensure!(
                    self.totals.routes,
                    "a whole snapshot came without its route rules"
                );
                self.state = State::Following;
            } else if batch.revision < self.position.revision {
                bail!(
                    "revision {} came after {}",
                    batch.revision,
                    self.position.revision
                );
            }
            let (epoch, tag) = (self.epoch.clone(), batch.tag.to_vec());
            self.position = Position {
                epoch,
                revision: batch.revision,
                tag,
            };
        }
        // While a whole snapshot is being loaded, the revision in force does not describe its
        // progress.
        let revision = if self.state == State::Loading {
            0
        } else {
            self.position.revision
        };
        Ok(Ack {
            sequence: self.sequence,
            revision,
        })
    }

    /// Reads every record with its checksum, as the filter does.
    fn take(&mut self, batch: &Batch) -> Result<()> {
        for record in Records::new(Kind::Routes, &batch.routes) {
            let (_, record) = record?;
            SettingsRecord::decode(record)?;
            self.totals.routes = true;
            self.totals.add(record);
        }
        for record in Records::new(Kind::Policy, &batch.policies) {
            let (_, record) = record?;
            PolicyRecord::decode(record)?;
            self.totals.policies += 1;
            self.totals.add(record);
        }
        for record in Records::new(Kind::Key, &batch.keys) {
            let (_, record) = record?;
            let key = KeyRecord::decode(record)?;
            if self.numbers.len() < NUMBERS {
                self.numbers.push(key.number);
            }
            self.totals.keys += 1;
            self.totals.add(record);
        }
        ensure!(
            batch.removed_keys.len().is_multiple_of(KeyDigest::LEN),
            "a digest is cut"
        );
        ensure!(
            batch
                .removed_policies
                .len()
                .is_multiple_of(size_of::<u64>()),
            "a policy's id is cut"
        );
        Ok(())
    }
}

impl Totals {
    fn add(&mut self, record: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(record);
        self.checksum = self.checksum.wrapping_add(hasher.finish());
        self.bytes += u64::try_from(record.len()).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: [u8; 16] = [7; 16];

    fn welcome(resume: bool) -> ToNode {
        let welcome = Welcome {
            epoch: EPOCH.to_vec(),
            format: FORMAT,
            resume,
            ..Welcome::default()
        };
        ToNode {
            message: Some(to_node::Message::Welcome(welcome)),
        }
    }

    fn batch(sequence: u64, revision: u64) -> ToNode {
        ToNode {
            message: Some(to_node::Message::Batch(Batch {
                sequence,
                revision,
                ..Batch::default()
            })),
        }
    }

    fn at(revision: u64) -> Follower {
        Follower::new(Position {
            epoch: EPOCH.to_vec(),
            revision,
            tag: vec![1; 16],
        })
    }

    /// The follower acknowledges more once a batch completes it.
    #[test]
    fn resuming_follower_acknowledges_its_revision() {
        let mut follower = at(5);
        follower.receive(welcome(true)).unwrap();
        assert_eq!(
            follower.receive(batch(1, 0)).unwrap(),
            Outcome::Taken(Ack {
                sequence: 1,
                revision: 5
            })
        );
        assert_eq!(
            follower.receive(batch(2, 6)).unwrap(),
            Outcome::Taken(Ack {
                sequence: 2,
                revision: 6
            })
        );
        assert_eq!(follower.position().revision, 6);
    }

    #[test]
    fn loading_follower_acknowledges_nothing_until_complete() {
        let mut follower = at(5);
        follower.receive(welcome(false)).unwrap();
        assert_eq!(
            follower.receive(batch(1, 0)).unwrap(),
            Outcome::Taken(Ack {
                sequence: 1,
                revision: 0
            })
        );
        let incomplete = follower.receive(batch(2, 6)).unwrap_err();
        assert!(
            format!("{incomplete:#}").contains("without its route rules"),
            "{incomplete:#}"
        );
    }

    #[test]
    fn message_the_filter_rejects_is_an_error() {
        assert!(
            at(5).receive(batch(1, 6)).is_err(),
            "a batch before the welcome"
        );
        assert!(at(0).receive(welcome(true)).is_err(), "changes to nothing");
        let mut follower = at(5);
        follower.receive(welcome(true)).unwrap();
        assert!(follower.receive(batch(2, 6)).is_err(), "out of sequence");
        assert!(follower.receive(welcome(true)).is_err(), "a second welcome");
        let damaged = Batch {
            sequence: 1,
            keys: vec![9; 40].into(),
            ..Batch::default()
        };
        let damaged = ToNode {
            message: Some(to_node::Message::Batch(damaged)),
        };
        assert!(follower.receive(damaged).is_err(), "a record that is cut");
    }
}
