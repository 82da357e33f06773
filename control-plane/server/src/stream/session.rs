//! The stream of one node, from its Hello to its end: first the data that the node lacks, then
//! every change.

mod begin;
mod ended;
mod mail;
mod send;

use latchkey_model::clock::Clock;
use latchkey_protocol::{FromNode, ToNode, from_node};
use latchkey_store::{Head, Store, StoreError};
use std::convert::Infallible;
use std::future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::{self, Instant};
use tonic::{Status, Streaming};
use tracing::info;

use super::admission::{Admission, NodeCredential};
use super::contact::{Contact, Skew};
use super::feed::{Change, Feed};
use super::images::{Images, Loading};
use super::reports::Reports;
use super::window::Window;
use crate::metrics::Metrics;
use crate::nodes::hello::{self, RefusedHello, ValidatedHello};
use crate::nodes::log_limit::LogLimit;
use crate::nodes::registry::{Connection, Refusal, Registry};
use crate::stop::Stop;
use crate::usage::Collector;
use ended::EndedOwners;

const HELLO_WITHIN: Duration = Duration::from_secs(5);
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
    pub(super) images: Images,
    pub(super) collector: Collector,
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

/// The maximum number of messages that are read from an ended stream, and the time limit for that.
const LAST_WORDS: usize = 16;
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// Serves one stream to its end.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut inbox: Streaming<FromNode>,
    outbox: Outbox,
    remote: Option<SocketAddr>,
    admission: Admission,
) {
    let mut stop = shared.stop.clone();
    let hello = tokio::select! {
        hello = first_message(&mut inbox) => hello,
        () = stop.requested() => Err(stopping().into()),
    };
    let end = match hello {
        Ok(hello) => {
            admit(
                shared.clone(),
                inbox,
                outbox.clone(),
                hello,
                remote,
                admission,
                stop,
            )
            .await
        }
        Err(end) => Err(end),
    };
    let (served, end) = match end {
        Ok(end) => (true, end),
        Err(end) => (false, end),
    };
    if let End::Refused(status) = end {
        if served || shared.refusals.permits() {
            info!(code = ?status.code(), reason = status.message(), "stream ended");
        }
        // If it is full or closed, the node is gone.
        let _ = outbox.try_send(Err(status));
    }
}

/// Serves a node that is admitted, and returns the reason why its stream ended. A refused node may
/// have been served before, and may still be serving.
///
/// # Errors
/// Fails with the reason why the node is not served.
async fn admit(
    shared: Arc<Shared>,
    inbox: Streaming<FromNode>,
    outbox: Outbox,
    first: FromNode,
    remote: Option<SocketAddr>,
    admission: Admission,
    stop: Stop,
) -> Result<End, End> {
    let (id, hello) = match ValidatedHello::try_from(first) {
        Ok(hello) => (hello.id.clone(), Ok(hello)),
        Err(RefusedHello {
            status,
            id: Some(id),
        }) => (id, Err(status)),
        Err(RefusedHello { status, id: None }) => return Err(status.into()),
    };
    let (refusal, status) = match (
        admission.admit(&id.node_id, &shared.metrics, &shared.refusals),
        hello,
    ) {
        (Ok(credential), Ok(hello)) => {
            return serve(shared, inbox, outbox, hello, credential, remote, stop).await;
        }
        (Ok(_), Err(status)) => (Refusal::Format, status),
        (Err(status), _) => (Refusal::Token, status),
    };
    shared.registry.refuse(&id, remote, refusal, &status);
    Err(status.into())
}

async fn first_message(inbox: &mut Streaming<FromNode>) -> Result<FromNode, End> {
    let first = time::timeout(HELLO_WITHIN, inbox.message()).await;
    let first = first.map_err(|_| Status::invalid_argument("no Hello within 5 seconds"))?;
    first?.ok_or(End::Gone)
}

async fn serve(
    shared: Arc<Shared>,
    inbox: Streaming<FromNode>,
    outbox: Outbox,
    hello: ValidatedHello,
    credential: NodeCredential,
    remote: Option<SocketAddr>,
    stop: Stop,
) -> Result<End, End> {
    let connection = shared.registry.connect(&hello, remote)?;
    let (node, handle) = (hello.id.node_id.clone(), hello.id.handle().to_owned());
    info!(
        node,
        handle,
        token = credential.name,
        version = hello.facts.version,
        "node connected"
    );
    // From here on no change is missed: changes before the subscription are in the store already.
    let mut changes = shared.feed.subscribe();
    let reports = Reports::new(
        &connection,
        hello.facts.meter.clone(),
        shared.collector.clone(),
    );
    let mut session = Session {
        shared,
        inbox,
        outbox,
        connection,
        credential,
        reports,
        stop,
        format: hello.format,
        window: Window::new(0),
        ended: EndedOwners::of_format(hello.format),
        position: None,
        loading: None,
        contact: Contact::default(),
        skew: Skew::default(),
        welcomed: false,
        waiting: false,
        next_heartbeat: Instant::now() + HEARTBEAT,
        next_mail: Instant::now(),
        untold: None,
    };
    if let Some(millis) = hello.unix_millis {
        session.observe_clock(millis);
    }
    let Err(end) = session.serve(hello, &mut changes).await;
    let _ = time::timeout(LAST_WORDS_WITHIN, session.take_last_words(&end)).await;
    session.leave();
    info!(node, handle, "node disconnected");
    Ok(end)
}

struct Session {
    shared: Arc<Shared>,
    inbox: Streaming<FromNode>,
    outbox: Outbox,
    connection: Connection,
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
    untold: Option<u64>,
}

impl Session {
    async fn serve(
        &mut self,
        hello: ValidatedHello,
        changes: &mut Receiver<Arc<Change>>,
    ) -> Result<Infallible, End> {
        let from = self.begin(hello).await?;
        self.send_changes_since(from).await?;
        loop {
            if let Some(after) = self.untold.take() {
                let next = self.send_elsewhere(after, true).await?;
                self.untold = self.untold.or(next);
            }
            let change = tokio::select! {
                change = changes.recv(), if self.window.is_open() => change,
                step = self.step() => {
                    step?;
                    continue;
                }
                // One page at a time, so that changes do not wait for all pages.
                () = future::ready(()), if self.untold.is_some() => continue,
            };
            let position = self.revision();
            match change {
                Ok(change) if change.to <= position => {}
                Ok(change) if change.from <= position => self.send_batches(&change.batches).await?,
                Ok(_) | Err(RecvError::Lagged(_)) => self.send_changes_since(position).await?,
                Err(RecvError::Closed) => return Err(stopping().into()),
            }
        }
    }

    /// Returns the newest revision that was sent completely, or 0.
    fn revision(&self) -> u64 {
        self.position.map_or(0, |position| position.revision)
    }

    async fn read<T>(
        &mut self,
        read: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, End> {
        let store = self.shared.store.clone();
        Ok(self.meanwhile(read(&store)).await??)
    }

    /// Waits for `work` while it serves the stream: a node without messages would give up the
    /// stream.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
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
            () = at(self.window.overdue()) => {
                Err(Status::deadline_exceeded("no batch was acknowledged within 10 seconds").into())
            }
            () = at(Some(self.next_heartbeat)) => {
                self.heartbeat();
                Ok(())
            }
            handed_over = self.reports.hand_over(), if self.reports.are_waiting() => {
                handed_over.then_some(()).ok_or_else(|| stopping().into())
            }
            () = mail::filled(next_mail, &self.connection.mailbox) => self.deliver(),
            // The only sign of a closed stream while nothing is received.
            () = self.outbox.closed() => Err(End::Gone),
            _ = &mut self.connection.replaced => {
                Err(Status::aborted("a newer stream of the same node has taken over").into())
            }
            () = self.credential.revoked() => Err(Status::unauthenticated("the node token is revoked").into()),
            () = self.stop.requested() => Err(stopping().into()),
        }
    }

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
                if let Some(millis) = hello::clock(alive.unix_millis) {
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

    fn observe_clock(&mut self, millis: i64) {
        let skew = self.skew.observe(millis, self.shared.clock.now_millis());
        self.connection.observe_skew(skew);
        self.reports.observe_skew(skew);
    }

    /// Handles messages that the node sent before its stream ended. An Envoy that shuts down
    /// reports its last counts, sends Goodbye and resets the stream, all at once.
    async fn take_last_words(&mut self, end: &End) {
        for _ in 0..LAST_WORDS {
            let End::Gone = end else { break };
            let Ok(Some(message)) = self.inbox.message().await else {
                break;
            };
            if self.receive(message).is_err() {
                break;
            }
        }
        while self.reports.are_waiting() && self.reports.hand_over().await {}
    }

    /// Keeps the node's loading progress for its next stream.
    fn leave(&mut self) {
        if let Some(loading) = self.loading.take() {
            self.shared
                .images
                .leave(self.connection.id.clone(), loading);
        }
    }
}

/// Waits until `deadline`, or forever if there is none.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => future::pending().await,
    }
}

fn stopping() -> Status {
    Status::unavailable("the control plane is shutting down")
}
