//! The opening of a stream, which ends in a session or in a refusal, and the end of a session.

use latchkey_protocol::FromNode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{self, Instant};
use tonic::{Status, Streaming};
use tracing::info;

use super::ended::EndedOwners;
use super::{End, HEARTBEAT, Outbox, Session, Shared, shutting_down};
use crate::nodes::hello::{RefusedHello, ValidatedHello};
use crate::nodes::registry::Refusal;
use crate::stop::Stop;
use crate::stream::admission::{Admission, NodeCredential};
use crate::stream::contact::{Contact, Skew};
use crate::stream::reports::Reports;
use crate::stream::window::Window;

/// The time limit for the first message.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// The maximum number of messages that are read from an ended stream, and the time limit for that.
const DRAINED_MESSAGES: usize = 16;
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// Serves one stream to its end.
pub(in crate::stream) async fn run(
    shared: Arc<Shared>,
    mut inbox: Streaming<FromNode>,
    outbox: Outbox,
    remote: Option<SocketAddr>,
    admission: Admission,
) {
    let mut stop = shared.stop.clone();
    let hello = tokio::select! {
        hello = first_message(&mut inbox) => hello,
        () = stop.requested() => Err(shutting_down().into()),
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

/// Waits for the first message.
async fn first_message(inbox: &mut Streaming<FromNode>) -> Result<FromNode, End> {
    let first = time::timeout(HELLO_WITHIN, inbox.message()).await;
    let first = first.map_err(|_| Status::invalid_argument("no Hello within 5 seconds"))?;
    first?.ok_or(End::Gone)
}

/// Registers the node and serves it. Returns the reason why its stream ended.
///
/// # Errors
/// Fails with the reason why the node is not served.
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
    let mut deltas = shared.feed.subscribe();
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
        ended: EndedOwners::for_format(hello.format),
        position: None,
        loading: None,
        contact: Contact::default(),
        skew: Skew::default(),
        welcomed: false,
        waiting: false,
        next_heartbeat: Instant::now() + HEARTBEAT,
        next_mail: Instant::now(),
        usage_after: None,
    };

    if let Some(millis) = hello.unix_millis {
        session.observe_clock(millis);
    }

    let Err(end) = session.serve(hello, &mut deltas).await;
    let _ = time::timeout(DRAIN_WITHIN, session.drain_inbox(&end)).await;
    session.keep_progress();
    info!(node, handle, "node disconnected");
    Ok(end)
}

impl Session {
    /// Handles messages that the node sent before its stream ended. An Envoy that shuts down
    /// reports its last counts, sends Goodbye and resets the stream, all at once.
    async fn drain_inbox(&mut self, end: &End) {
        for _ in 0..DRAINED_MESSAGES {
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
    fn keep_progress(&mut self) {
        if let Some(loading) = self.loading.take() {
            self.shared
                .snapshots
                .keep_progress(self.connection.id.clone(), loading);
        }
    }
}
