//! Tests the connections of nodes: silent ones are closed, and do not block others.

use crate::harness::Plane;
use crate::node::{Node, Stream};
use latchkey_protocol::snapshots_client::SnapshotsClient;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time;

/// The first bytes of an HTTP/2 client: the preface, and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn silent_connections_close_after_five_seconds() {
    let plane = Plane::start().await;
    let node = Node::ready(&plane).await;
    let address = plane
        .stream_url()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let began = Instant::now();
    let closed = [&b""[..], b"PRI * HT", PREFACE].map(|sent| {
        let address = address.clone();
        async move {
            let mut silent = TcpStream::connect(address).await.unwrap();
            silent.write_all(sent).await.unwrap();
            let mut received = Vec::new();
            // The connection is closed or reset.
            let _ = time::timeout(Duration::from_secs(20), silent.read_to_end(&mut received))
                .await
                .expect("it is closed");
            began.elapsed()
        }
    });
    let [nothing, partial, preface] = closed;
    for waited in <[Duration; 3]>::from(tokio::join!(nothing, partial, preface)) {
        assert!((4..10).contains(&waited.as_secs()), "{waited:?}");
    }
    // A connection with a node stays open.
    time::sleep(Duration::from_secs(6)).await;
    let mut node = node;
    assert!(node.stream.is_silent().await);
}

#[tokio::test]
async fn node_is_served_despite_silent_connections() {
    let plane = Plane::start_with(&["--stream-connections=8"]).await;
    let address = plane
        .stream_url()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    drop(
        time::timeout(Duration::from_secs(40), Node::ready(&plane))
            .await
            .expect("silent ones are closed"),
    );
}

/// Returns the time until a connection was sent its first byte.
async fn served(address: String, began: Instant) -> Duration {
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(PREFACE).await.unwrap();
    silent.read_u8().await.unwrap();
    let waited = began.elapsed();
    let mut rest = Vec::new();
    // The connection is closed or reset.
    let _ = silent.read_to_end(&mut rest).await;
    waited
}

#[tokio::test]
async fn silent_connections_are_served_in_turns() {
    let plane = Plane::start().await;
    let address = plane
        .stream_url()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let began = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..300 {
        connections.spawn(served(address.clone(), began));
    }
    let waited = time::timeout(Duration::from_secs(40), connections.join_all())
        .await
        .expect("all are served");
    let first = waited
        .iter()
        .filter(|waited| **waited < Duration::from_secs(4))
        .count();
    assert_eq!(first, 256, "{waited:?}");
}

/// An HTTP/2 PING, which the peer must answer.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[tokio::test]
async fn pinging_peer_that_never_reads_closes() {
    let plane = Plane::start().await;
    let address = plane
        .stream_url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut peer = socket.connect(address).await.unwrap();
    let began = Instant::now();
    peer.write_all(PREFACE).await.unwrap();
    let pings = PING.repeat(1_000);
    // Sends until the connection is reset, as some of the sent data was not read.
    let closed = async { while peer.write_all(&pings).await.is_ok() {} };
    time::timeout(Duration::from_secs(20), closed)
        .await
        .expect("it is closed");
    assert!(
        (4..15).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn connection_has_at_most_eight_streams() {
    let plane = Plane::start().await;
    let mut client = SnapshotsClient::connect(plane.stream_url()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(
            Stream::open_on(&mut client, Some("Bearer x"))
                .await
                .unwrap(),
        );
    }
    let ninth = time::timeout(
        Duration::from_secs(2),
        Stream::open_on(&mut client, Some("Bearer x")),
    );
    assert!(ninth.await.is_err(), "it is opened");
    streams.clear();
    let tenth = time::timeout(
        Duration::from_secs(20),
        Stream::open_on(&mut client, Some("Bearer x")),
    );
    tenth.await.expect("there is room").unwrap();
}
