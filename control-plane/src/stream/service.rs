//! The gRPC service: lets a node in by its token, and gives it a session of its own.

use latchkey_protocol::snapshots_server::{Snapshots, SnapshotsServer};
use latchkey_protocol::{FromNode, ToNode};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::session::{self, OUTBOX, Shared};
use crate::secret::NodeToken;

/// Bytes in a message of a node at most: a report of as many keys as there may be in one, of about 100 bytes each.
const MAX_MESSAGE_LEN: usize = 1024 * 1024;

pub(super) struct Service {
    shared: Arc<Shared>,
    token: NodeToken,
}

impl Service {
    pub(super) fn server(shared: Shared, token: NodeToken) -> SnapshotsServer<Self> {
        SnapshotsServer::new(Self { shared: Arc::new(shared), token }).max_decoding_message_size(MAX_MESSAGE_LEN)
    }

    fn admit(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let presented = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let presented = presented.and_then(|value| value.strip_prefix("Bearer "));
        if presented.is_some_and(|presented| self.token.is(presented)) {
            Ok(())
        } else {
            Err(Status::unauthenticated("metadata `authorization: Bearer <node token>` is missing or wrong"))
        }
    }
}

#[tonic::async_trait]
impl Snapshots for Service {
    type SyncStream = ReceiverStream<Result<ToNode, Status>>;

    async fn sync(&self, request: Request<Streaming<FromNode>>) -> Result<Response<Self::SyncStream>, Status> {
        self.admit(request.metadata())?;
        let remote = request.remote_addr();
        let (outbox, messages) = mpsc::channel(OUTBOX);
        tokio::spawn(session::run(self.shared.clone(), request.into_inner(), outbox, remote));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
