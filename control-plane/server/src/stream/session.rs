//! The stream of one node, from its Hello to its end: first the data that the node lacks, then
//! every change.

mod begin;
mod ended;
mod mail;
mod open;
mod send;

use latchkey_model::clock::Clock;
use latchkey_protocol::{FromNode, ToNode, from_node};
use latchkey_store::{Head, Store, StoreError};
use std::convert::Infallible;
use std::future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::{self, Instant};
use tonic::{Status, Streaming};

use super::admission::NodeCredential;
use super::contact::{Contact, Skew};
use super::feed::{Delta, Feed};
use super::reports::Reports;
use super::snapshot_cache::{Loading, SnapshotCache};
use super::window::Window;
use crate::metrics::Metrics;
use crate::nodes::hello::{self, ValidatedHello};
use crate::nodes::log_limit::LogLimit;
use crate::nodes::registry::{NodeConnection, Registry};
use crate::stop::Stop;
use crate::usage::ReportCollector;
use ended::EndedOwners;
pub(super) use open::run;

/// The interval of heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The maximum number of messages that wait to be written. Unacknowledged batches, Welcome and the
/// last status always have room, because everything else leaves it to them.
pub(super) const OUTBOX: usize = 24;
const RESERVED: usize = 8;

/// The state that all streams share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) registry: Registry,
    pub(super) feed: Feed,
    pub(super) snapshots: SnapshotCache,
    pub(super) collector: ReportCollector,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    /// Limits log lines about streams that are not served.
    pub(super) refusals: LogLimit,
    pub(super) stop: Stop,
}

/// The reason why a stream ends.
enum End {
    /// The node went away.
    Gone,
    /// The control plane ends the stream with this status.
    Refused(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        if let StoreError::Pruned = error {
            // The next stream loads everything.
            return Status::aborted("changes since the node's revision are no longer kept").into();
        }
        tracing::error!(%error, "a stream ended because the database failed");
        Status::unavailable("the database does not answer").into()
    }
}

type Outbox = mpsc::Sender<Result<ToNode, Status>>;

/// The stream of an admitted node.
struct Session {
    shared: Arc<Shared>,
    inbox: Streaming<FromNode>,
    outbox: Outbox,
    connection: NodeConnection,
    credential: NodeCredential,
    reports: Reports,
    stop: Stop,
    /// The format of the records for the node.
    format: u32,
    window: Window,
    ended: EndedOwners,
    /// The newest revision that was sent completely.
    position: Option<Head>,
    /// The progress of the node's snapshot, until the node has acknowledged a revision.
    loading: Option<Loading>,
    contact: Contact,
    skew: Skew,
    /// True if Welcome was sent.
    welcomed: bool,
    /// True if the epoch of the node's snapshot is not accepted.
    waiting: bool,
    next_heartbeat: Instant,
    /// The time of the next read of the mailbox.
    next_mail: Instant,
    /// The key after which the node still lacks other nodes' usage of its keys, if any.
    usage_after: Option<u64>,
}

impl Session {
    /// Sends the data that the node lacks, and then every change, until the stream ends.
    async fn serve(
        &mut self,
        hello: ValidatedHello,
        deltas: &mut Receiver<Arc<Delta>>,
    ) -> Result<Infallible, End> {
        let from = self.begin(hello).await?;
        self.send_changes_since(from).await?;

        loop {
            if let Some(after) = self.usage_after.take() {
                let next = self.send_remote_usage_page(after, true).await?;
                self.usage_after = self.usage_after.or(next);
            }

            let delta = tokio::select! {
                delta = deltas.recv(), if self.window.is_open() => delta,
                step = self.step() => {
                    step?;
                    continue;
                }
                // One page at a time, so that changes do not wait for all pages.
                () = future::ready(()), if self.usage_after.is_some() => continue,
            };

            let position = self.revision();
            match delta {
                Ok(delta) if delta.to <= position => {}
                Ok(delta) if delta.from <= position => self.send_batches(&delta.batches).await?,
                Ok(_) | Err(RecvError::Lagged(_)) => self.send_changes_since(position).await?,
                Err(RecvError::Closed) => return Err(shutting_down().into()),
            }
        }
    }

    /// Returns the newest revision that was sent completely, or 0.
    fn revision(&self) -> u64 {
        self.position.map_or(0, |position| position.revision)
    }

    /// Reads from the store while it serves the stream.
    async fn read<T>(
        &mut self,
        read: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, End> {
        let store = self.shared.store.clone();
        Ok(self.serve_while(read(&store)).await??)
    }

    /// Waits for `work` while it serves the stream: a node without messages would give up the
    /// stream.
    async fn serve_while<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                step = self.step() => step?,
            }
        }
    }

    /// Waits for the next event and handles it. Cancelling it has no effect.
    async fn step(&mut self) -> Result<(), End> {
        let next_mail = self.welcomed.then_some(self.next_mail);
        tokio::select! {
            message = self.inbox.message(), if self.reports.are_wanted() => match message {
                Ok(Some(message)) => self.receive(message),
                Ok(None) => Err(End::Gone),
                Err(status) => Err(status.into()),
            },
            () = sleep_until(self.window.overdue()) => {
                Err(Status::deadline_exceeded("no batch was acknowledged within 10 seconds").into())
            }
            () = sleep_until(Some(self.next_heartbeat)) => {
                self.heartbeat();
                Ok(())
            }
            handed_over = self.reports.hand_over(), if self.reports.are_waiting() => {
                handed_over.then_some(()).ok_or_else(|| shutting_down().into())
            }
            () = mail::filled(next_mail, &self.connection.mailbox) => self.deliver(),
            // The only sign of a closed stream while nothing is received.
            () = self.outbox.closed() => Err(End::Gone),
            _ = &mut self.connection.replaced => {
                Err(Status::aborted("a newer stream of the same node has taken over").into())
            }
            () = self.credential.revoked() => Err(Status::unauthenticated("the node token is revoked").into()),
            () = self.stop.requested() => Err(shutting_down().into()),
        }
    }

    /// Handles a message of the node.
    fn receive(&mut self, message: FromNode) -> Result<(), End> {
        match message.message {
            Some(from_node::Message::Ack(ack)) => {
                let revision = self.window.acknowledge(ack, Instant::now())?;
                self.connection.acknowledge(self.ended.in_force(revision));
                if revision > 0 {
                    self.loading = None;
                }
                Ok(())
            }
            Some(from_node::Message::Hello(_)) => {
                Err(Status::invalid_argument("a second Hello").into())
            }
            Some(from_node::Message::Usage(usage)) => Ok(self.reports.receive(usage)?),
            Some(from_node::Message::Goodbye(_)) => {
                self.connection.forget();
                Err(End::Gone)
            }
            Some(from_node::Message::Alive(alive)) => {
                if let Some(millis) = hello::unix_millis(alive.unix_millis) {
                    self.observe_clock(millis);
                }
                self.contact.heard(&alive, self.shared.store.revision());
                self.answer_contact();
                Ok(())
            }
            // The message is from a node that is one release ahead.
            None => Ok(()),
        }
    }

    /// Measures the lead of the node's clock.
    fn observe_clock(&mut self, millis: i64) {
        let skew = self.skew.observe(millis, self.shared.clock.now_millis());
        self.connection.observe_skew(skew);
        self.reports.observe_skew(skew);
    }
}

/// Waits until `deadline`, or forever if there is none.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => future::pending().await,
    }
}

/// Returns the final status of a stream when the control plane stops.
fn shutting_down() -> Status {
    Status::unavailable("the control plane is shutting down")
}
