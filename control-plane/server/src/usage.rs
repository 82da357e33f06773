//! Usage: nodes report their counts, the store adds them up, and each node receives the counts of
//! the others that it needs.
//!
//! `wire` validates messages of nodes. One task, [`ReportCollector`], stores the reports of all
//! streams, several in one transaction, and puts acknowledgements into the streams' mailboxes.
//! Another task, [`CountBroadcaster`], reads the new counts for other nodes, and puts them into
//! their mailboxes. `cleanup` deletes old data.
//!
//! **The delay.** The time from a node's report until the other nodes receive its counts is at
//! most: [`collector::PAUSE`] until a transaction begins, that transaction, the reads of the
//! broadcaster, and [`PACE`](crate::nodes::mailbox::PACE) until the stream reads its mailbox again.
//! The bound on requests admitted beyond a limit across Envoys depends on it: 100 ms and 20 ms,
//! when the store is not busy.

pub(crate) mod cleanup;
pub(crate) mod collector;
mod count_broadcaster;
pub(crate) mod wire;

pub(crate) use collector::ReportCollector;
use count_broadcaster::CountBroadcaster;
