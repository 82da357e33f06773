//! One node: opens streams one after the other, and serves each until it ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use latchkey_protocol::snapshots_client::SnapshotsClient;
use latchkey_protocol::{Ack, FromNode, ToNode, from_node};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{self, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};
use tower::service_fn;

use super::Reports;
use super::backoff::Backoff;
use super::follower::{Follower, Outcome, Position, Totals};
use super::reports::Reporter;
use super::traffic::{self, Traffic};

/// The silence after which a stream is given up.
const SILENCE: Duration = Duration::from_millis(3_500);

/// The timeout of a connection attempt. It is longer than any answer takes that is not lost.
const CONNECT: Duration = Duration::from_secs(5);

const MAX_MESSAGE: usize = 4 << 20;

/// The number of a node in its fleet: 0, 1, 2 …
pub type NodeId = usize;

/// The state that all nodes of a fleet share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: SocketAddr,
    pub(super) token: String,
    /// Notified when a node is welcomed, has a revision in force, or is broken.
    pub(super) published: Notify,
    pub(super) reports: watch::Sender<Option<Reports>>,
    /// The numbers of some existing keys, once a node has loaded a snapshot.
    pub(super) numbers: OnceLock<Vec<u64>>,
    /// The violations of the protocol that nodes have received.
    pub(super) broken: Mutex<Vec<String>>,
}

/// The state of a node that others see.
#[derive(Debug)]
pub(super) struct View {
    /// The revision in force at this node.
    pub(super) revision: AtomicU64,
    /// True if it has a stream on which it was welcomed.
    pub(super) connected: AtomicBool,
    pub(super) position: Mutex<Position>,
    pub(super) totals: Mutex<Totals>,
    pub(super) streams: AtomicU64,
    pub(super) traffic: Arc<Traffic>,
    /// True if it takes batches in but does not acknowledge them.
    pub(super) withholds: watch::Sender<bool>,
}

/// Runs a node until the future is dropped.
pub(super) async fn run(number: NodeId, instance: u64, shared: Arc<Shared>, view: Arc<View>) {
    let mut backoff = Backoff::new(instance);
    let mut reporter = Reporter::default();
    loop {
        let began = Instant::now();
        let mut node = Node {
            number,
            instance,
            shared: &shared,
            view: &view,
            reporter: &mut reporter,
        };
        let ended = node.stream().await;
        view.connected.store(false, Ordering::Release);
        if let Err(Broken(error)) = ended {
            let reported = format!("node {number}: {error:#}");
            shared
                .broken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(reported);
            shared.published.notify_waiters();
        }
        time::sleep(backoff.after(began.elapsed())).await;
    }
}

/// An error of the other side: it does not keep to the protocol.
struct Broken(anyhow::Error);

struct Node<'a> {
    number: NodeId,
    instance: u64,
    shared: &'a Shared,
    view: &'a View,
    reporter: &'a mut Reporter,
}

impl Node<'_> {
    /// Serves one stream until it ends. Failures of the network are a normal end.
    async fn stream(&mut self) -> Result<(), Broken> {
        let position = self
            .view
            .position
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut follower = Follower::new(position);
        let Ok(Ok((outbox, mut inbox))) = time::timeout(CONNECT, self.open(&follower)).await else {
            return Ok(());
        };
        self.view.streams.fetch_add(1, Ordering::Relaxed);
        self.reporter.begin_anew();
        let (mut withholds, mut reports) = (
            self.view.withholds.subscribe(),
            self.shared.reports.subscribe(),
        );
        let (mut owed, mut next_report) = (None, self.next_report(*reports.borrow_and_update()));
        loop {
            let deadline = next_report;
            let ended = tokio::select! {
                message = time::timeout(SILENCE, inbox.message()) => match message {
                    Ok(Ok(Some(message))) => {
                        self.take(&mut follower, message, &mut owed).map_err(Broken)?;
                        false
                    }
                    Ok(Ok(None) | Err(_)) | Err(_) => true,
                },
                _ = withholds.changed() => false,
                _ = reports.changed() => {
                    next_report = self.next_report(*reports.borrow_and_update());
                    false
                }
                () = at(deadline) => {
                    let reports = *reports.borrow();
                    next_report = reports.map(|reports| Instant::now() + reports.every);
                    self.report(reports, &follower, &outbox).await
                }
            };
            if ended {
                return Ok(());
            }
            if !*withholds.borrow()
                && let Some(ack) = owed.take()
                && outbox.send(from_node::Message::Ack(ack)).await.is_err()
            {
                return Ok(());
            }
        }
    }

    async fn open(&self, follower: &Follower) -> Result<(Outbox, Streaming<ToNode>)> {
        let (address, traffic) = (self.shared.address, self.view.traffic.clone());
        let connect = service_fn(move |_| traffic::connect(address, traffic.clone()));
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let channel = endpoint.connect_with_connector(connect).await?;
        let mut client = SnapshotsClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let (outbox, messages) = mpsc::channel(16);
        let outbox = Outbox(outbox);
        let hello = follower.hello(format!("node-{}", self.number), self.instance);
        outbox.send(from_node::Message::Hello(hello)).await?;
        let mut request = Request::new(ReceiverStream::new(messages));
        request.metadata_mut().insert(
            "authorization",
            format!("Bearer {}", self.shared.token).parse()?,
        );
        Ok((outbox, client.sync(request).await?.into_inner()))
    }

    fn take(
        &mut self,
        follower: &mut Follower,
        message: ToNode,
        owed: &mut Option<Ack>,
    ) -> Result<()> {
        match follower.receive(message)? {
            Outcome::Nothing => {}
            Outcome::Welcomed => {
                self.view.connected.store(true, Ordering::Release);
                self.shared.published.notify_waiters();
            }
            Outcome::Stored(sequence) => self.reporter.stored(sequence),
            Outcome::Taken(ack) => {
                *owed = Some(ack);
                let before = self.view.revision.swap(ack.revision, Ordering::Release);
                if follower.is_following() && before != ack.revision {
                    *self
                        .view
                        .position
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = follower.position().clone();
                    *self
                        .view
                        .totals
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = follower.totals().clone();
                    if self.shared.numbers.get().is_none() && !follower.numbers().is_empty() {
                        // Another node was faster; its numbers are as good.
                        let _ = self.shared.numbers.set(follower.numbers().to_vec());
                    }
                    self.shared.published.notify_waiters();
                }
            }
        }
        Ok(())
    }

    /// Returns the time of the first report. Nodes report at different times, like nodes that were
    /// not started together.
    fn next_report(&self, reports: Option<Reports>) -> Option<Instant> {
        let reports = reports?;
        let place = u32::try_from(self.number % 1_000).unwrap_or(0);
        Some(Instant::now() + reports.every * place / 1_000)
    }

    /// Sends a report. Returns true if the stream has ended.
    async fn report(
        &mut self,
        reports: Option<Reports>,
        follower: &Follower,
        outbox: &Outbox,
    ) -> bool {
        let (Some(reports), Some(numbers), true) =
            (reports, self.shared.numbers.get(), follower.is_following())
        else {
            return false;
        };
        // Neighbours share keys, so that the control plane has usage of other nodes to send.
        let place = self.number / 2 * reports.keys;
        let keys: Vec<_> = numbers
            .iter()
            .cycle()
            .skip(place % numbers.len().max(1))
            .take(reports.keys)
            .copied()
            .collect();
        match self.reporter.next(&keys) {
            Some(usage) => outbox.send(from_node::Message::Usage(usage)).await.is_err(),
            None => false,
        }
    }
}

struct Outbox(mpsc::Sender<FromNode>);

impl Outbox {
    async fn send(&self, message: from_node::Message) -> Result<()> {
        self.0
            .send(FromNode {
                message: Some(message),
            })
            .await
            .context("the stream has ended")
    }
}

/// Waits for the deadline; forever if there is none.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
