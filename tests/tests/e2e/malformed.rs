//! A control plane that sends malformed messages does no harm.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use latchkey_protocol::snapshots_server::{Snapshots, SnapshotsServer};
use latchkey_protocol::{Batch, FromNode, Heartbeat, ToNode, Welcome, to_node};
use latchkey_tests::{Gateway, eventually};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// A server that sends the same messages to every node, all at once, and keeps the stream open.
struct Talker {
    messages: Vec<to_node::Message>,
    streams: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Snapshots for Talker {
    type SyncStream = Pin<Box<dyn Stream<Item = Result<ToNode, Status>> + Send>>;

    async fn sync(
        &self,
        _: Request<Streaming<FromNode>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        self.streams.fetch_add(1, Ordering::SeqCst);
        let messages = self.messages.clone().into_iter().map(|message| {
            Ok(ToNode {
                message: Some(message),
            })
        });
        Ok(Response::new(Box::pin(
            tokio_stream::iter(messages).chain(tokio_stream::pending()),
        )))
    }
}

fn welcome(epoch: usize, resume: bool, format: u32, keys: u64) -> to_node::Message {
    to_node::Message::Welcome(Welcome {
        epoch: vec![7; epoch],
        format,
        resume,
        heartbeat_millis: 1000,
        keys,
        ..Welcome::default()
    })
}

fn batch(sequence: u64, keys: &[u8], revision: u64) -> to_node::Message {
    to_node::Message::Batch(Batch {
        sequence,
        keys: keys.to_vec().into(),
        revision,
        ..Batch::default()
    })
}

/// The malformed message comes first, in the middle and last: the filter gives the stream up while
/// Envoy has more of it buffered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_neither_admit_nor_crash() {
    let heartbeats = || {
        std::iter::repeat_n(
            to_node::Message::Heartbeat(Heartbeat {
                revision: 1,
                ..Heartbeat::default()
            }),
            30,
        )
    };
    for (what, malformed) in [
        ("changes to nothing", vec![welcome(16, true, 1, 0)]),
        ("an unknown format", vec![welcome(16, false, 9, 0)]),
        ("a short epoch", vec![welcome(3, false, 1, 0)]),
        ("a batch before the welcome", vec![batch(1, &[], 1)]),
        (
            "a damaged batch",
            vec![welcome(16, false, 1, 1), batch(1, b"\x20\x00nonsense", 1)],
        ),
        (
            "a batch out of sequence",
            vec![welcome(16, false, 1, u64::MAX), batch(2, &[], 1)],
        ),
    ] {
        let mut gateway = Gateway::builder().without_control_plane().start().await;
        let listener = tokio::net::TcpListener::bind(gateway.control_plane.stream())
            .await
            .unwrap();
        let streams = Arc::new(AtomicUsize::new(0));
        let talker = Talker {
            messages: heartbeats().chain(malformed).chain(heartbeats()).collect(),
            streams: streams.clone(),
        };
        let server = tonic::transport::Server::builder().add_service(SnapshotsServer::new(talker));
        let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let tried_again = eventually(Duration::from_secs(10), async || {
            gateway.envoy.process().still_running()?;
            let streams = streams.load(Ordering::SeqCst);
            ensure!(streams >= 3, "{streams} streams");
            Ok(())
        });
        tried_again
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let answer = gateway.ask("/", Some(&crate::unknown_key())).await;
        assert_eq!((answer.status, answer.code()), (503, "not_ready"), "{what}");
        assert!(
            gateway.envoy.log().contains("the control plane sent "),
            "{what}"
        );
        server.abort();
    }
}
