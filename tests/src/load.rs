//! Many requests at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Barrier;
use tokio::task::{JoinHandle, JoinSet};

use crate::connection::{Connection, request};

/// The number of answers with each status.
pub type Tally = BTreeMap<u16, usize>;

/// Sends `total` requests with `key` on `connections` connections, which begin together.
///
/// # Panics
/// Panics when a request is not answered.
pub async fn burst(gateway: SocketAddr, key: &str, connections: usize, total: usize) -> Tally {
    let (begin, sent) = (
        Arc::new(Barrier::new(connections)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (begin, sent, request) = (
            begin.clone(),
            sent.clone(),
            request("GET", "/", &[("x-api-key", key)]),
        );
        tasks.spawn(async move {
            let mut connection = Connection::to(gateway);
            connection.open().await.unwrap();
            begin.wait().await;
            let mut tally = Tally::new();
            while sent.fetch_add(1, Ordering::Relaxed) < total {
                *tally
                    .entry(connection.send(&request).await.unwrap().status)
                    .or_default() += 1;
            }
            tally
        });
    }
    let mut tally = Tally::new();
    for (status, count) in tasks.join_all().await.into_iter().flatten() {
        *tally.entry(status).or_default() += count;
    }
    tally
}

/// One request of a [`Load`].
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The time just before it was sent.
    pub start: Instant,
    /// The answer's status.
    pub status: u16,
}

/// A load that sends requests one after the other on each of many connections, until it is stopped.
#[derive(Debug)]
pub struct Load {
    stopped: Arc<AtomicBool>,
    connections: Vec<JoinHandle<Vec<Sample>>>,
}

impl Load {
    /// Starts the load: opens a connection for each of `requests`, on which that request is sent.
    #[must_use]
    pub fn start(gateway: SocketAddr, requests: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let connections = requests.into_iter().map(|request| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let (mut connection, mut samples) = (Connection::to(gateway), Vec::new());
                while !stopped.load(Ordering::SeqCst) {
                    let start = Instant::now();
                    let status = connection.send(&request).await.unwrap().status;
                    samples.push(Sample { start, status });
                }
                samples
            })
        });
        let connections = connections.collect();
        Self {
            stopped,
            connections,
        }
    }

    /// Stops the load, and returns the results of each connection.
    ///
    /// # Panics
    /// Panics when a request was not answered.
    pub async fn stop(self) -> Vec<Vec<Sample>> {
        self.stopped.store(true, Ordering::SeqCst);
        let mut samples = Vec::new();
        for connection in self.connections {
            samples.push(connection.await.unwrap());
        }
        samples
    }
}
