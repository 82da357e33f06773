//! One node's stream, from its Hello to its end: first what the node lacks, then every change as it comes.

mod mail;

use latchkey_policy::record::FORMAT;
use latchkey_protocol::{Batch, FromNode, Heartbeat, ToNode, Welcome, from_node, to_node};
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
use super::batches;
use super::feed::{Change, Feed};
use super::hello::Introduction;
use super::images::Images;
use super::registry::{Connection, Registry, hexadecimal};
use super::reports::Reports;
use super::window::Window;
use crate::clock::Clock;
use crate::metrics::{Metrics, Snapshot};
use crate::stop::Stop;
use crate::store::{Store, StoreError};
use crate::usage::Collector;

const HELLO_WITHIN: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A node is served whether it could be written down or not; so long it waits for that.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);
/// A batch that is not acknowledged for so long ends the stream.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// Changes are read all at once, unlike a whole snapshot, which is what a node gets that is further behind.
const RESUME_BELOW: u32 = 100_000;

/// Messages that wait to be written. Unacknowledged batches, Welcome and the last status always have room, because
/// everything else leaves it to them.
pub(super) const OUTBOX: usize = 24;
const RESERVED: usize = 8;

/// What all streams share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) registry: Registry,
    pub(super) feed: Feed,
    pub(super) images: Images,
    pub(super) collector: Collector,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: Stop,
}

/// Why a stream ends.
enum End {
    /// The node went away.
    Gone,
    /// We tell it to.
    Refused(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a stream ends because the store failed");
        Status::unavailable("the store does not answer").into()
    }
}

type Outbox = mpsc::Sender<Result<ToNode, Status>>;

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
        hello = hello(&mut inbox) => hello,
        () = stop.requested() => Err(stopping().into()),
    };
    let admitted = hello.and_then(|node| {
        let credential = admission.admit(&node.id.node_id, &shared.metrics)?;
        Ok((node, credential))
    });
    let end = match admitted {
        Ok((node, credential)) => serve(shared, inbox, outbox.clone(), node, credential, remote, stop).await,
        Err(end) => end,
    };
    if let End::Refused(status) = end {
        info!(code = ?status.code(), reason = status.message(), "stream ended");
        // Full or closed: the node is gone anyway.
        let _ = outbox.try_send(Err(status));
    }
}

async fn hello(inbox: &mut Streaming<FromNode>) -> Result<Introduction, End> {
    let first = time::timeout(HELLO_WITHIN, inbox.message()).await;
    let first = first.map_err(|_| Status::invalid_argument("no Hello within 5 seconds"))?;
    Ok(first?.ok_or(End::Gone)?.try_into()?)
}

async fn serve(
    shared: Arc<Shared>,
    inbox: Streaming<FromNode>,
    outbox: Outbox,
    node: Introduction,
    credential: NodeCredential,
    remote: Option<SocketAddr>,
    stop: Stop,
) -> End {
    let resume = node.resumes_from(&shared.store.epoch(), shared.store.revision());
    let (name, instance) = (node.id.node_id.clone(), hexadecimal(node.id.instance));
    let connection = shared.registry.connect(node.id, node.version, resume.unwrap_or(0), remote);
    info!(node = name, instance, token = credential.name, resume, "node connected");
    // From here on no change is missed: what the feed no longer tells is in the store already.
    let mut changes = shared.feed.subscribe();
    let reports = Reports::new(&connection, shared.collector.clone());
    let mut session = Session {
        shared,
        inbox,
        outbox,
        connection,
        credential,
        reports,
        stop,
        window: Window::new(0),
        position: 0,
        last_sent: None,
        next_mail: Instant::now(),
        untold: None,
    };
    let Err(end) = session.serve(&mut changes, resume).await;
    info!(node = name, instance, "node disconnected");
    end
}

struct Session {
    shared: Arc<Shared>,
    inbox: Streaming<FromNode>,
    outbox: Outbox,
    connection: Connection,
    credential: NodeCredential,
    reports: Reports,
    stop: Stop,
    window: Window,
    /// The newest revision that was sent whole.
    position: u64,
    /// None before Welcome, which no heartbeat may precede.
    last_sent: Option<Instant>,
    /// When to look into the mailbox again.
    next_mail: Instant,
    /// Behind which key the node must still be told all that it has to know of other nodes' use of its keys.
    untold: Option<u64>,
}

impl Session {
    async fn serve(&mut self, changes: &mut Receiver<Arc<Change>>, resume: Option<u64>) -> Result<Infallible, End> {
        let resume = match resume {
            Some(revision) => {
                self.read(async |store| store.few_changes(revision, RESUME_BELOW).await).await?.then_some(revision)
            }
            None => None,
        };
        self.window = Window::new(resume.unwrap_or(0));
        self.position = resume.unwrap_or(0);
        let kind = if resume.is_some() { Snapshot::RESUMED } else { Snapshot::FULL };
        self.shared.metrics.snapshots.get_or_create(&kind).inc();
        // So that a control plane that starts again counts a node that was sent anything.
        let written = time::timeout(WRITTEN_WITHIN, self.connection.write_down());
        let _ = self.meanwhile(written).await?;
        // To make room for; whoever resumes has it.
        let keys = match resume {
            Some(_) => 0,
            None => self.read(async |store| store.live_keys().await).await?,
        };
        self.send(to_node::Message::Welcome(Welcome {
            epoch: self.shared.store.epoch().to_vec(),
            format: FORMAT,
            resume: resume.is_some(),
            heartbeat_millis: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
            keys,
            ..Welcome::default()
        }))?;
        let from = match resume {
            Some(revision) => revision,
            None => {
                // Before it admits anything: what was admitted is counted.
                let mut page = Some(0);
                while let Some(after) = page {
                    page = self.send_elsewhere(after, false).await?;
                }
                self.send_snapshot().await?
            }
        };
        self.send_changes_since(from).await?;
        if resume.is_some() {
            // Of what others admitted while it was away it was not told.
            self.untold = Some(0);
        }
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
                // One page at a time, so that changes do not wait for all of them.
                () = future::ready(()), if self.untold.is_some() => continue,
            };
            match change {
                Ok(change) if change.to <= self.position => {}
                Ok(change) if change.from <= self.position => {
                    for batch in change.batches.iter().cloned() {
                        self.send_batch(batch).await?;
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => self.send_changes_since(self.position).await?,
                Err(RecvError::Closed) => return Err(stopping().into()),
            }
        }
    }

    /// Sends all keys as of some revision, and returns it. Keys that have changed since are left to the changes.
    async fn send_snapshot(&mut self) -> Result<u64, End> {
        let shared = self.shared.clone();
        let image = self.meanwhile(shared.images.get()).await??;
        for batch in image.batches.iter().cloned() {
            self.send_batch(batch).await?;
        }
        Ok(image.revision)
    }

    async fn send_changes_since(&mut self, revision: u64) -> Result<(), End> {
        let changes = self.read(async |store| store.changes_since(revision).await).await?;
        for batch in batches::of_changes(changes) {
            self.send_batch(batch).await?;
        }
        Ok(())
    }

    async fn read<T>(&mut self, read: impl AsyncFnOnce(&Store) -> Result<T, StoreError>) -> Result<T, End> {
        let store = self.shared.store.clone();
        Ok(self.meanwhile(read(&store)).await??)
    }

    /// Waits for `work`, and serves the stream meanwhile: a node that hears nothing for long gives it up.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                step = self.step() => step?,
            }
        }
    }

    /// Sends a batch once few enough others are unacknowledged.
    async fn send_batch(&mut self, mut batch: Batch) -> Result<(), End> {
        while !self.window.is_open() {
            self.step().await?;
        }
        self.position = self.position.max(batch.revision);
        batch.sequence = self.window.sent(batch.revision, Instant::now());
        self.shared.metrics.batches.inc();
        self.shared.metrics.batch_bytes.inc_by(batches::record_bytes(&batch));
        self.send(to_node::Message::Batch(batch))
    }

    fn send(&mut self, message: to_node::Message) -> Result<(), End> {
        self.last_sent = Some(Instant::now());
        self.outbox.try_send(Ok(ToNode { message: Some(message) })).map_err(|_| End::Gone)
    }

    /// Waits for whatever comes first and deals with it. Cancelled, it has done nothing.
    async fn step(&mut self) -> Result<(), End> {
        let heartbeat = self.last_sent.map(|sent| sent + HEARTBEAT);
        let overdue = self.window.oldest().map(|sent| sent + ACKNOWLEDGED_WITHIN);
        let next_mail = self.last_sent.map(|_| self.next_mail);
        tokio::select! {
            message = self.inbox.message(), if self.reports.are_wanted() => match message {
                Ok(Some(message)) => self.receive(message),
                Ok(None) => Err(End::Gone),
                Err(status) => Err(status.into()),
            },
            () = at(overdue) => {
                Err(Status::deadline_exceeded("a batch was not acknowledged within 10 seconds").into())
            }
            () = at(heartbeat) => {
                self.heartbeat();
                Ok(())
            }
            handed_over = self.reports.hand_over(), if self.reports.are_waiting() => {
                handed_over.then_some(()).ok_or_else(|| stopping().into())
            }
            () = mail::filled(next_mail, &self.connection.mailbox) => self.deliver(),
            // While nothing is received this is all there is to tell it by.
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
                self.connection.acknowledge(self.window.acknowledge(ack)?);
                Ok(())
            }
            Some(from_node::Message::Hello(_)) => Err(Status::invalid_argument("a second Hello").into()),
            Some(from_node::Message::Usage(usage)) => Ok(self.reports.receive(usage)?),
            Some(from_node::Message::Goodbye(_) | from_node::Message::Alive(_))
            // From a node that is one release ahead.
            | None => Ok(()),
        }
    }

    /// Sends what takes the place of no heartbeat.
    fn tell(&mut self, message: to_node::Message) {
        // A closed outbox shows in the next step.
        let _ = self.outbox.try_send(Ok(ToNode { message: Some(message) }));
    }

    fn heartbeat(&mut self) {
        let revision = self.shared.store.revision();
        if self.outbox.capacity() > RESERVED {
            self.tell(to_node::Message::Heartbeat(Heartbeat { revision, ..Heartbeat::default() }));
        }
        self.last_sent = Some(Instant::now());
    }
}

/// Never, if there is no deadline.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => future::pending().await,
    }
}

fn stopping() -> Status {
    Status::unavailable("the control plane is shutting down")
}
