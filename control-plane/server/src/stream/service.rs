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

/// Bytes in a message of a node at most: a report of as many keys as there may be in one, of about
/// 100 bytes each.
const MAX_MESSAGE_LEN: usize = 1024 * 1024;

/// Streams without a valid token whose Hello is waited for at the same time. One more ends the
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

/// Streams without a valid token whose Hello is waited for, the oldest first. A node's Hello comes
/// with its stream: whoever holds such streams open keeps no node from being recognized.
#[derive(Default)]
struct RefusedStreams(Mutex<VecDeque<oneshot::Sender<()>>>);

impl RefusedStreams {
    /// Begins one, and ends the oldest if there are too many. Resolves when it is to end.
    fn begin(&self) -> oneshot::Receiver<()> {
        let (sender, ended) = oneshot::channel();
        // Held for no longer than this, by nobody who panics.
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
                    metrics.refused_credentials.get_or_create(&RefusedCredential::TOKEN).inc();
                    // Closed: whoever opened it is gone anyway.
                    let _ = outbox.try_send(Err(no_valid_token()));
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
