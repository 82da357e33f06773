//! The gRPC service: looks up the token of a stream, and starts a session for it.

use latchkey_protocol::snapshots_server::{Snapshots, SnapshotsServer};
use latchkey_protocol::{FromNode, ToNode};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::admission::{Admission, Admissions, no_valid_token};
use super::connections::ConnectionHandle;
use super::session::{self, OUTBOX, Shared};
use crate::metrics::RefusedCredential;

/// The maximum length of a node's message, in bytes: a report of the maximum number of keys, of
/// about 100 bytes each.
const MAX_MESSAGE_LEN: usize = 1024 * 1024;

/// The maximum number of streams without a valid token that wait for Hello. A further one ends the
/// oldest.
const MAX_REFUSED: usize = 64;

pub(super) struct Service {
    shared: Arc<Shared>,
    admissions: Admissions,
    refused: RefusedStreams,
}

impl Service {
    pub(super) fn server(shared: Arc<Shared>, admissions: Admissions) -> SnapshotsServer<Self> {
        SnapshotsServer::new(Self {
            shared,
            admissions,
            refused: RefusedStreams::default(),
        })
        .max_decoding_message_size(MAX_MESSAGE_LEN)
    }
}

/// The streams without a valid token that wait for Hello, the oldest first. A node sends its Hello
/// with the stream, so a peer that holds such streams open does not keep a node from being
/// recognized.
#[derive(Default)]
struct RefusedStreams(Mutex<VecDeque<oneshot::Sender<()>>>);

impl RefusedStreams {
    /// Adds a stream, and ends the oldest if there are too many. The result resolves when the
    /// stream must end.
    fn begin(&self) -> oneshot::Receiver<()> {
        let (sender, ended) = oneshot::channel();
        // The lock is held only in this function, which does not panic.
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream| !stream.is_closed());
        if streams.len() >= MAX_REFUSED {
            streams.pop_front();
        }
        streams.push_back(sender);
        ended
    }
}

#[tonic::async_trait]
impl Snapshots for Service {
    type SyncStream = ReceiverStream<Result<ToNode, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<FromNode>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let admission = self
            .admissions
            .look_up(request.metadata())
            .await
            .map_err(|error| {
                tracing::error!(%error, "cannot look up a node token");
                Status::unavailable("the database does not answer")
            })?;
        let refused = matches!(admission, Admission::Refused).then(|| self.refused.begin());
        let connection = request.extensions().get::<ConnectionHandle>().cloned();
        let remote = connection.as_ref().map(|connection| connection.remote);
        let admission = admission.on(connection);
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let metrics = shared.metrics.clone();
            let session = session::run(
                shared,
                request.into_inner(),
                outbox.clone(),
                remote,
                admission,
            );
            let Some(ended) = refused else {
                return session.await;
            };
            tokio::select! {
                () = session => {}
                _ = ended => {
                    metrics.stream.refused_credentials.get_or_create(&RefusedCredential::TOKEN).inc();
                    // If it is closed, the peer is gone.
                    let _ = outbox.try_send(Err(no_valid_token()));
                }
            }
        });

        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
