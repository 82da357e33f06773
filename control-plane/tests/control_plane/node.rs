//! A fake node: it stores what it is sent, and acknowledges when the test asks it to.

mod snapshot;

pub(crate) use self::snapshot::{HeldKey, Snapshot};
use crate::harness::{NODE_TOKEN, Plane};
use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::{FORMAT, MIN_FORMAT};
use latchkey_protocol::snapshots_client::SnapshotsClient;
use latchkey_protocol::{
    Ack, Batch, FromNode, Heartbeat, Hello, KeyRemoteUsage, KeyUsage, ToNode, Usage, UsageAck,
    Welcome, from_node, to_node,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// A time limit that nothing exceeds unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const INSTANCE: u64 = 0xfeed;

/// Returns the Hello of a node whose secrets are made from `instance` when it connects.
pub(crate) fn hello() -> Hello {
    Hello {
        node_id: "edge-1".to_owned(),
        instance: INSTANCE,
        version: "0.2.0".to_owned(),
        format: FORMAT,
        protocol: 1,
        staleness_seconds: 1,
        ..Hello::default()
    }
}

/// Returns the Hello of a node of version 0.1.
pub(crate) fn former_hello() -> Hello {
    Hello {
        version: "0.1.0".to_owned(),
        format: MIN_FORMAT,
        protocol: 0,
        staleness_seconds: 0,
        ..hello()
    }
}

/// Returns the snapshot secret or the meter secret of a node.
pub(crate) fn secret(kind: u8, instance: u64) -> Vec<u8> {
    [[kind; 8], instance.to_le_bytes()].concat()
}

/// Returns the handle of a node.
pub(crate) fn handle(instance: u64) -> String {
    format!("{:?}", KeyDigest::of(&secret(SNAPSHOT, instance)))[..12].to_owned()
}

pub(crate) const SNAPSHOT: u8 = 1;

pub(crate) const METER: u8 = 2;

/// Adds the held snapshot and the secrets to a Hello, unless they are given.
pub(crate) fn complete(mut hello: Hello, snapshot: &Snapshot) -> Hello {
    if hello.protocol > 0 {
        if hello.snapshot_secret.is_empty() {
            hello.snapshot_secret = secret(SNAPSHOT, hello.instance);
        }
        if hello.meter_secret.is_empty() {
            hello.meter_secret = secret(METER, hello.instance);
        }
        hello.tag = snapshot.tag.clone();
    }
    Hello {
        epoch: snapshot.epoch.clone(),
        revision: snapshot.revision,
        ..hello
    }
}

/// An open stream.
pub(crate) struct Stream {
    outbox: mpsc::Sender<FromNode>,
    inbox: Streaming<ToNode>,
}

impl Stream {
    pub(crate) async fn open(plane: &Plane, authorization: Option<&str>) -> Result<Self, Status> {
        Self::open_at(plane.stream_url(), authorization).await
    }

    pub(crate) async fn open_at(url: String, authorization: Option<&str>) -> Result<Self, Status> {
        Self::open_on(
            &mut SnapshotsClient::connect(url).await.unwrap(),
            authorization,
        )
        .await
    }

    /// Opens a stream on an existing connection.
    pub(crate) async fn open_on(
        client: &mut SnapshotsClient<Channel>,
        authorization: Option<&str>,
    ) -> Result<Self, Status> {
        let (outbox, messages) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(messages));
        if let Some(authorization) = authorization {
            request
                .metadata_mut()
                .insert("authorization", authorization.parse().unwrap());
        }
        let inbox = client.sync(request).await?.into_inner();
        Ok(Self { outbox, inbox })
    }

    pub(crate) async fn send(&self, message: from_node::Message) {
        self.outbox
            .send(FromNode {
                message: Some(message),
            })
            .await
            .unwrap();
    }

    /// Returns the next message other than a heartbeat, or the status that ended the stream.
    pub(crate) async fn next(&mut self) -> Result<to_node::Message, Status> {
        loop {
            let message = time::timeout(PATIENCE, self.inbox.message())
                .await
                .expect("a message in time")?;
            match message
                .expect("the stream ends with a status")
                .message
                .unwrap()
            {
                to_node::Message::Heartbeat(_) => {}
                message => return Ok(message),
            }
        }
    }

    /// Returns the next message of any kind.
    pub(crate) async fn any(&mut self) -> to_node::Message {
        let message = time::timeout(PATIENCE, self.inbox.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        message.message.unwrap()
    }

    /// Returns the next heartbeat that has an echo exactly if `answered`. Skips other messages.
    pub(crate) async fn beat(&mut self, answered: bool) -> Heartbeat {
        loop {
            let message = time::timeout(PATIENCE, self.inbox.message())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            if let Some(to_node::Message::Heartbeat(heartbeat)) = message.message
                && (heartbeat.echo > 0) == answered
            {
                return heartbeat;
            }
        }
    }

    /// Returns the revision of the next message, which must be a heartbeat.
    pub(crate) async fn heartbeat(&mut self) -> u64 {
        let message = time::timeout(PATIENCE, self.inbox.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        match message.message {
            Some(to_node::Message::Heartbeat(heartbeat)) => heartbeat.revision,
            other => panic!("no heartbeat but {other:?}"),
        }
    }

    /// Returns the status that ends the stream. Skips all messages.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }

    /// Returns whether only heartbeats arrive for 300 milliseconds.
    pub(crate) async fn is_silent(&mut self) -> bool {
        time::timeout(Duration::from_millis(300), self.next())
            .await
            .is_err()
    }
}

/// A node with its stream and its snapshot.
pub(crate) struct Node {
    pub(crate) stream: Stream,
    pub(crate) welcome: Welcome,
    pub(crate) snapshot: Snapshot,
    /// The sequence number of the last batch.
    pub(crate) sequence: u64,
    /// The sequence number of the last report.
    pub(crate) reported: u64,
    /// The sequence number of the newest stored report.
    pub(crate) stored: u64,
    /// The usage of other nodes that was received since this was last emptied.
    pub(crate) elsewhere: Vec<KeyRemoteUsage>,
}

impl Node {
    /// Opens a stream with a Hello of a node that holds `snapshot`.
    pub(crate) async fn connect(plane: &Plane, hello: Hello, snapshot: Snapshot) -> Self {
        let mut stream = Stream::open(plane, Some(&format!("Bearer {NODE_TOKEN}")))
            .await
            .unwrap();
        stream
            .send(from_node::Message::Hello(complete(hello, &snapshot)))
            .await;
        let to_node::Message::Welcome(welcome) = stream.next().await.unwrap() else {
            panic!("the first message must be Welcome");
        };
        let snapshot = if welcome.resume {
            snapshot
        } else {
            Snapshot {
                epoch: welcome.epoch.clone(),
                ..Snapshot::default()
            }
        };
        Self {
            stream,
            welcome,
            snapshot,
            sequence: 0,
            reported: 0,
            stored: 0,
            elsewhere: Vec::new(),
        }
    }

    /// Connects without a snapshot, and receives and acknowledges everything.
    pub(crate) async fn ready(plane: &Plane) -> Self {
        let mut node = Self::connect(plane, hello(), Snapshot::default()).await;
        node.publish().await;
        node
    }

    /// Receives and applies the next batch, without acknowledging it.
    pub(crate) async fn take(&mut self) -> Batch {
        loop {
            if let Some(batch) = self.hear().await {
                return batch;
            }
        }
    }

    /// Receives and applies the next message, and returns it if it is a batch.
    async fn hear(&mut self) -> Option<Batch> {
        match self.stream.next().await.unwrap() {
            to_node::Message::Batch(batch) => {
                assert_eq!(batch.sequence, self.sequence + 1);
                self.sequence = batch.sequence;
                self.snapshot.apply(&batch);
                return Some(batch);
            }
            to_node::Message::UsageAck(UsageAck { sequence }) => {
                assert!(sequence > self.stored && sequence <= self.reported);
                self.stored = sequence;
            }
            to_node::Message::RemoteUsage(shown) => self.elsewhere.extend(shown.keys),
            message => panic!("unexpected {message:?}"),
        }
        None
    }

    /// Reports `keys`, without waiting until the report is stored.
    pub(crate) async fn report(&mut self, keys: Vec<KeyUsage>) {
        self.reported += 1;
        self.stream
            .send(from_node::Message::Usage(Usage {
                sequence: self.reported,
                keys,
            }))
            .await;
    }

    /// Waits until all reports are stored.
    pub(crate) async fn all_stored(&mut self) {
        while self.stored < self.reported {
            assert!(self.hear().await.is_none(), "a batch came");
        }
    }

    /// Reports `keys`, and waits until the report is stored.
    pub(crate) async fn count(&mut self, keys: Vec<KeyUsage>) {
        self.report(keys).await;
        self.all_stored().await;
    }

    /// Waits for usage of other nodes, and returns it.
    pub(crate) async fn usage_of_others(&mut self) -> Vec<KeyRemoteUsage> {
        while self.elsewhere.is_empty() {
            assert!(self.hear().await.is_none(), "a batch came");
        }
        std::mem::take(&mut self.elsewhere)
    }

    pub(crate) async fn acknowledge(&self) {
        let ack = Ack {
            sequence: self.sequence,
            revision: self.snapshot.revision,
        };
        self.stream.send(from_node::Message::Ack(ack)).await;
    }

    /// Receives and acknowledges batches up to the next one that completes a revision. Returns
    /// them.
    pub(crate) async fn publish(&mut self) -> Vec<Batch> {
        let mut batches = Vec::new();
        loop {
            batches.push(self.take().await);
            self.acknowledge().await;
            if batches.last().is_some_and(|batch| batch.revision != 0) {
                return batches;
            }
        }
    }

    /// Calls [`publish`](Self::publish) until the node holds `revision`.
    pub(crate) async fn catch_up(&mut self, revision: u64) {
        while self.snapshot.revision < revision {
            self.publish().await;
        }
    }
}
