//! A stream's reports of usage, until they are acknowledged.

use latchkey_protocol::Usage;
use latchkey_store::usage::Report;
use std::collections::VecDeque;
use std::sync::Arc;
use tonic::Status;

use crate::nodes::identity::NodeId;
use crate::nodes::mailbox::Mailbox;
use crate::nodes::registry::Connection;
use crate::usage::collector::Received;
use crate::usage::{Collector, wire};

/// Reports that may be unacknowledged at a time. Nothing more is received from a node that has sent
/// so many until one of them is in the store.
pub(super) const UNACKNOWLEDGED: usize = 4;

/// A node whose clock differs by more milliseconds is in other windows than the rest: what it
/// admitted in them is held back.
const MAX_SKEW: i64 = 300_000;

/// Those of one stream.
pub(super) struct Reports {
    node: NodeId,
    /// What the node's usage is kept under.
    meter: String,
    /// By how many milliseconds the node's clock is ahead.
    skew: i64,
    stream: u64,
    mailbox: Mailbox,
    collector: Collector,
    /// Of the newest.
    sequence: u64,
    /// For room at the collector.
    waiting: VecDeque<Received>,
    unacknowledged: usize,
}

impl Reports {
    pub(super) fn new(connection: &Connection, meter: String, collector: Collector) -> Self {
        Self {
            node: connection.id.clone(),
            meter,
            skew: 0,
            stream: connection.stream,
            mailbox: connection.mailbox.clone(),
            collector,
            sequence: 0,
            waiting: VecDeque::with_capacity(UNACKNOWLEDGED),
            unacknowledged: 0,
        }
    }

    /// Whose they are, as the store has it.
    pub(super) fn meter(&self) -> &str {
        &self.meter
    }

    /// The node's clock is ahead by so many milliseconds.
    pub(super) fn observe_skew(&mut self, millis: i64) {
        self.skew = millis;
    }

    /// Whether another one may be received.
    pub(super) fn are_wanted(&self) -> bool {
        self.unacknowledged < UNACKNOWLEDGED
    }

    /// Whether there is one to [`hand_over`](Self::hand_over).
    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn receive(&mut self, usage: Usage) -> Result<(), Status> {
        if usage.sequence <= self.sequence {
            return Err(Status::invalid_argument(
                "the sequence of Usage is not higher than the last one",
            ));
        }
        self.sequence = usage.sequence;
        self.unacknowledged += 1;
        self.waiting.push_back(Received {
            node: self.node.clone(),
            stream: self.stream,
            sequence: usage.sequence,
            mailbox: self.mailbox.clone(),
            report: Arc::new(Report {
                instance: self.meter.clone(),
                keys: wire::key_reports(usage.keys)?,
                clock_is_off: self.skew.abs() > MAX_SKEW,
            }),
        });
        Ok(())
    }

    /// Hands the oldest over once there is room for it. False if nobody takes any more. Cancelled,
    /// it has done nothing.
    pub(super) async fn hand_over(&mut self) -> bool {
        let Some(room) = self.collector.room().await else {
            return false;
        };
        if let Some(oldest) = self.waiting.pop_front() {
            room.send(oldest);
        }
        true
    }

    /// So many are in the store.
    pub(super) fn acknowledged(&mut self, count: usize) {
        self.unacknowledged = self.unacknowledged.saturating_sub(count);
    }
}
