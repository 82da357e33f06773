//! The gRPC service: looks up the token of a stream, and starts a session for it.

use latchkey_protocol::snapshots_server::{Snapshots, SnapshotsServer};
use latchkey_protocol::{FromNode, ToNode};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::admission::{Admission, Admissions, no_valid_token};
use super::connections::ConnectionHandle;
use super::session::{self, OUTBOX, Shared};
use crate::metrics::RefusedCredential;

/// Bytes in a message of a node at most: a report of as many keys as there may be in one, of about 100 bytes each.
const MAX_MESSAGE_LEN: usize = 1024 * 1024;

/// Streams without a valid token whose Hello is read at the same time. Others are refused at once.
const MAX_REFUSED: usize = 64;

pub(super) struct Service {
    shared: Arc<Shared>,
    admissions: Admissions,
    refused: Arc<Semaphore>,
}

impl Service {
    pub(super) fn server(shared: Arc<Shared>, admissions: Admissions) -> SnapshotsServer<Self> {
        let refused = Arc::new(Semaphore::new(MAX_REFUSED));
        SnapshotsServer::new(Self { shared, admissions, refused }).max_decoding_message_size(MAX_MESSAGE_LEN)
    }
}

#[tonic::async_trait]
impl Snapshots for Service {
    type SyncStream = ReceiverStream<Result<ToNode, Status>>;

    async fn sync(&self, request: Request<Streaming<FromNode>>) -> Result<Response<Self::SyncStream>, Status> {
        let admission = self.admissions.look_up(request.metadata()).await.map_err(|error| {
            tracing::error!(%error, "a node token cannot be looked up");
            Status::unavailable("the store does not answer")
        })?;
        let place = match &admission {
            Admission::Granted(_) => None,
            Admission::Refused => Some(self.refused.clone().try_acquire_owned().map_err(|_| {
                self.shared.metrics.refused_credentials.get_or_create(&RefusedCredential::TOKEN).inc();
                no_valid_token()
            })?),
        };
        let connection = request.extensions().get::<ConnectionHandle>().cloned();
        let remote = connection.as_ref().map(|connection| connection.remote);
        let admission = admission.on(connection);
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            session::run(shared, request.into_inner(), outbox, remote, admission).await;
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
