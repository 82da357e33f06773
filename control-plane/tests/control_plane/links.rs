//! Tests slow links: loading a snapshot makes progress, and continues after a lost stream.

use crate::harness::NODE_TOKEN;
use crate::harness::Plane;
use crate::node::{Node, Snapshot, Stream, complete, hello};
use latchkey_protocol::{Ack, Batch, Load, Welcome, from_node, to_node};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time;

/// The approximate number of bytes that are in the kernel's buffers.
const BUFFER: u32 = 4_096;

/// Forwards connections to `address`, and sends at most this number of bytes per second to the
/// client. Returns the forwarder's address.
async fn throttle(address: SocketAddr, bytes_a_second: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(BUFFER).unwrap();
            let server: TcpStream = socket.connect(address).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(forward(from_client, to_server, None));
            tokio::spawn(forward(from_server, to_client, Some(bytes_a_second)));
        }
    });
    own
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, bytes_a_second: Option<u32>) {
    let mut bytes = [0; 512];
    while let Ok(len) = from.read(&mut bytes).await
        && len > 0
        && to.write_all(&bytes[..len]).await.is_ok()
    {
        if let Some(rate) = bytes_a_second {
            time::sleep(Duration::from_secs_f64(len as f64 / f64::from(rate))).await;
        }
    }
}

struct Loader {
    stream: Stream,
    welcome: Welcome,
    snapshot: Snapshot,
    sequence: u64,
    longest_silence: Duration,
}

impl Loader {
    async fn open(address: SocketAddr, load: Option<Load>) -> Self {
        let authorization = format!("Bearer {NODE_TOKEN}");
        let mut stream = Stream::open_at(format!("http://{address}"), Some(&authorization))
            .await
            .unwrap();
        let hello = latchkey_protocol::Hello {
            load,
            ..complete(hello(), &Snapshot::default())
        };
        stream.send(from_node::Message::Hello(hello)).await;
        let Ok(to_node::Message::Welcome(welcome)) = stream.next().await else {
            panic!("no Welcome")
        };
        let longest_silence = Duration::ZERO;
        Self {
            stream,
            welcome,
            snapshot: Snapshot::default(),
            sequence: 0,
            longest_silence,
        }
    }

    async fn batch(&mut self) -> Batch {
        let started = Instant::now();
        let batch = match self.stream.next().await {
            Ok(to_node::Message::Batch(batch)) => batch,
            other => panic!("{other:?}"),
        };
        self.longest_silence = self.longest_silence.max(started.elapsed());
        self.snapshot.apply(&batch);
        self.sequence = batch.sequence;
        let ack = Ack {
            sequence: batch.sequence,
            revision: self.snapshot.revision,
        };
        self.stream.send(from_node::Message::Ack(ack)).await;
        batch
    }
}

async fn plane_behind(keys: usize, bytes_a_second: u32) -> (Plane, SocketAddr) {
    let plane = Plane::start().await;
    plane.create_keys("key", keys).await;
    let address = plane
        .stream_url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let address = throttle(address, bytes_a_second).await;
    (plane, address)
}

/// Loads at 20 and at 5 kilobytes a second.
#[tokio::test]
async fn snapshot_loads_over_slow_links() {
    for (keys, bytes_a_second) in [(4_000, 20_000), (700, 5_000)] {
        let (plane, address) = plane_behind(keys, bytes_a_second).await;
        let started = Instant::now();
        let mut loader = Loader::open(address, None).await;
        while loader.batch().await.revision == 0 {}
        println!(
            "{keys} keys over {bytes_a_second} B/s: {:?}, {:?}",
            started.elapsed(),
            loader.longest_silence
        );
        assert_eq!(loader.snapshot.keys.len(), keys);
        assert!(
            started.elapsed() > Duration::from_secs(10),
            "the link was not slow"
        );
        // A node drops a stream that is silent for longer than 3.5 seconds.
        assert!(
            loader.longest_silence < Duration::from_millis(3_500),
            "{:?}",
            loader.longest_silence
        );
        drop(plane);
    }
}

#[tokio::test]
async fn snapshot_resumes_after_a_lost_stream() {
    let (plane, address) = plane_behind(2_000, 100_000).await;
    let mut loader = Loader::open(address, None).await;
    let image = loader.welcome.load.clone().unwrap();
    assert_eq!((image.image.len(), image.batches), (16, 0));
    for _ in 0..6 {
        loader.batch().await;
    }
    let (snapshot, batches) = (loader.snapshot.clone(), loader.sequence);
    drop(loader);
    assert!(snapshot.keys.len() > 10);
    plane.create_keys("meanwhile", 1).await;
    time::sleep(Duration::from_millis(300)).await;

    let load = Load {
        image: image.image.clone(),
        batches,
    };
    let mut loader = Loader::open(address, Some(load.clone())).await;
    assert_eq!(loader.welcome.load, Some(load));
    loader.snapshot = snapshot;
    while loader.batch().await.revision == 0 {}
    assert_eq!(loader.snapshot.keys.len(), 2_001);
    // Another image is loaded from the beginning.
    let other = Load {
        image: vec![7; 16],
        batches,
    };
    let loader = Loader::open(address, Some(other)).await;
    assert_eq!(loader.welcome.load.unwrap().batches, 0);
}

#[tokio::test]
async fn records_use_a_format_the_node_reads() {
    let plane = Plane::start().await;
    let former = Node::connect(&plane, crate::node::former_hello(), Snapshot::default()).await;
    assert_eq!(former.welcome.format, latchkey_policy::record::MIN_FORMAT);
    let newer = latchkey_protocol::Hello {
        format: latchkey_policy::record::FORMAT + 1,
        ..hello()
    };
    let newer = Node::connect(&plane, newer, Snapshot::default()).await;
    assert_eq!(newer.welcome.format, latchkey_policy::record::FORMAT);
}
