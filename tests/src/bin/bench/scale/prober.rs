//! The traffic of another client: a request each millisecond, whether or not the last one was
//! answered, and the time of the slowest.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use hdrhistogram::Histogram;
use rustix::process::setpriority_process;
use serde::{Deserialize, Serialize};

use crate::load::{head, latencies};

/// The time in which all connections together send one request.
const INTERVAL: Duration = Duration::from_millis(1);

/// The number of connections; enough that every worker has some.
const CONNECTIONS: u32 = 16;

/// The timeout of an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A running prober.
pub(crate) struct Prober {
    stopped: Arc<AtomicBool>,
    connections: Vec<JoinHandle<Result<Histogram<u64>>>>,
}

/// The results of a prober.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) longest_ms: f64,
}

impl Prober {
    /// Starts a prober.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let connections = (0..CONNECTIONS).map(|number| {
            let (stopped, first) = (stopped.clone(), began + INTERVAL * number);
            std::thread::spawn(move || probe(address, first, &stopped))
        });
        let connections = connections.collect();
        Self {
            stopped,
            connections,
        }
    }

    /// Stops the prober, and returns its results.
    pub(crate) fn stop(self) -> Result<Seen> {
        self.stopped.store(true, Ordering::Relaxed);
        let mut all = latencies()?;
        for connection in self.connections {
            all.add(
                connection
                    .join()
                    .map_err(|_| anyhow!("a prober panicked"))??,
            )?;
        }
        let at =
            |quantile| Duration::from_nanos(all.value_at_quantile(quantile)).as_secs_f64() * 1e3;
        Ok(Seen {
            requests: all.len(),
            median_ms: at(0.5),
            p99_ms: at(0.99),
            longest_ms: at(1.0),
        })
    }
}

/// Probes on one connection. The time of a request that had to wait for the one before it starts
/// when it was due. Otherwise it starts when it was sent, because a prober that woke up late is not
/// Envoy's fault.
fn probe(address: SocketAddr, first: Instant, stopped: &AtomicBool) -> Result<Histogram<u64>> {
    // Gives this thread priority over the control plane, which is busy on the same core. It
    // continues without if that is not permitted.
    let _ = setpriority_process(None, -20);
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let (mut seen, mut due, mut answer) = (latencies()?, first, [0; 4096]);
    while !stopped.load(Ordering::Relaxed) {
        let ready = Instant::now();
        std::thread::sleep(due.saturating_duration_since(ready));
        let from = if ready > due { due } else { Instant::now() };
        stream.write_all(b"GET / HTTP/1.1\r\nhost: beside\r\n\r\n")?;
        let mut filled = 0;
        loop {
            let read = stream.read(&mut answer[filled..])?;
            ensure!(read > 0, "the connection ended");
            filled += read;
            match head(&answer[..filled])? {
                Some((status, len)) if len == filled => {
                    ensure!(status == 200, "the listener beside answers {status}");
                    break;
                }
                _ => {}
            }
        }
        seen.saturating_record(u64::try_from(from.elapsed().as_nanos())?);
        due += INTERVAL * CONNECTIONS;
    }
    Ok(seen)
}
