//! The usage reports of a stream, until they are acknowledged.

use latchkey_protocol::Usage;
use latchkey_store::usage::Report;
use std::collections::VecDeque;
use std::sync::Arc;
use tonic::Status;

use crate::nodes::identity::NodeId;
use crate::nodes::mailbox::Mailbox;
use crate::nodes::registry::NodeConnection;
use crate::usage::collector::ReceivedReport;
use crate::usage::{ReportCollector, wire};

/// The maximum number of unacknowledged reports. At the maximum, nothing more is received from the
/// node until one of them is stored.
pub(super) const UNACKNOWLEDGED: usize = 4;

/// The clock skew in milliseconds above which a node is in different windows than the others. The
/// requests that it admitted in these windows are held back.
const MAX_SKEW: i64 = 300_000;

/// The usage reports of one stream.
pub(super) struct Reports {
    node: NodeId,
    /// The name under which the store keeps the node's usage.
    meter: String,
    /// The lead of the node's clock, in milliseconds.
    skew: i64,
    stream: u64,
    mailbox: Mailbox,
    collector: ReportCollector,
    /// The sequence of the newest report.
    sequence: u64,
    /// The reports that wait for room at the collector.
    waiting: VecDeque<ReceivedReport>,
    unacknowledged: usize,
}

impl Reports {
    pub(super) fn new(
        connection: &NodeConnection,
        meter: String,
        collector: ReportCollector,
    ) -> Self {
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

    /// Returns the name under which the store keeps the node's usage.
    pub(super) fn meter(&self) -> &str {
        &self.meter
    }

    /// Sets the lead of the node's clock, in milliseconds.
    pub(super) fn observe_skew(&mut self, millis: i64) {
        self.skew = millis;
    }

    /// Returns whether another report may be received.
    pub(super) fn are_wanted(&self) -> bool {
        self.unacknowledged < UNACKNOWLEDGED
    }

    /// Returns whether a report waits to be [handed over](Self::hand_over).
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
        self.waiting.push_back(ReceivedReport {
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

    /// Hands the oldest report to the collector once it has room. Returns false if the collector
    /// has stopped. Cancelling it has no effect.
    pub(super) async fn hand_over(&mut self) -> bool {
        let Some(room) = self.collector.reserve().await else {
            return false;
        };
        if let Some(oldest) = self.waiting.pop_front() {
            room.send(oldest);
        }
        true
    }

    /// Notes that `count` reports are stored.
    pub(super) fn acknowledged(&mut self, count: usize) {
        self.unacknowledged = self.unacknowledged.saturating_sub(count);
    }
}
