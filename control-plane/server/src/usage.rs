//! What becomes of reports: nodes say what they have counted, the store takes it in, and each node
//! is told what it must know of the others.
//!
//! `wire` checks what a node says. One task, [`Collector`], takes the reports of all streams in,
//! several in one transaction, and leaves acknowledgements in the mailboxes of the streams.
//! Another one, [`Herald`], reads what the others are to know, and leaves that there. `tidy`
//! deletes what is old.
//!
//! **The delay.** From a node's report until other nodes are told what is in it: at most
//! [`collector::PAUSE`] until a transaction begins, that transaction, what the herald has to read,
//! and [`PACE`](crate::nodes::mailbox::PACE) until the stream looks into its mailbox again. The
//! bound on what is admitted beyond a limit across Envoys rests on that: 100 ms and 20 ms, when the
//! store is not busy.

pub(crate) mod collector;
mod herald;
pub(crate) mod tidy;
pub(crate) mod wire;

pub(crate) use collector::Collector;
use herald::Herald;
