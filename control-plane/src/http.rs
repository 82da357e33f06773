//! Serves the API: HTTP/1.1, on a bounded number of connections, none of which is waited for without end.

mod unread;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;
use tower::Layer as _;
use tracing::{debug, error};

use crate::stop::Stop;
use unread::Unread;

/// What clients can take of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections that are open at once; more wait to be accepted.
    pub(crate) connections: usize,
    /// From a connection's first moment, or the end of its last answer, to the end of the next request's headers, and
    /// while nothing of an answer is taken. What comes after the headers has the time that a request has.
    pub(crate) idle: Duration,
}

/// After a connection that could not be accepted, as when too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// Who has opened the connection of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves until `stop`, and then until requests that are under way are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, mut stop: Stop) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(limits.idle);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = accept(&listener, &places) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    error!(%error, "a connection cannot be accepted");
                    time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = stop.requested() => break,
        };
        let service = TowerToHyperService::new(Extension(peer).layer(router.clone()));
        let stream = TokioIo::new(Unread::new(stream, limits.idle));
        let connection = graceful.watch(http.serve_connection(stream, service).into_owned());
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                debug!(error, "a connection ended early");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, Peer(address), place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    const IDLE: Duration = Duration::from_millis(200);

    /// A router behind one place, and how to end it.
    fn one_place(router: Router) -> (SocketAddr, impl AsyncFnOnce()) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stopper, stop) = stop::channel();
        let limits = Limits { connections: 1, idle: IDLE };
        let server = tokio::spawn(serve(TcpListener::from_std(listener).unwrap(), router, limits, stop));
        let end = async move || {
            stopper.stop();
            server.await.unwrap();
        };
        (address, end)
    }

    async fn is_served(address: SocketAddr) {
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let answered = time::timeout(Duration::from_secs(20), other.read_to_string(&mut answer));
        answered.await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_waits_for_a_place_and_no_place_is_held_by_silence() {
        let (address, end) = one_place(Router::new().route("/", get(async || "here")));
        for begun in ["", "GET / HTTP/1.1\r\nhost: ", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(begun.as_bytes()).await.unwrap();
            let started = Instant::now();
            is_served(address).await;
            assert!(started.elapsed() >= IDLE, "there was a second place beside {begun:?}");
        }
        end().await;
    }

    #[tokio::test]
    async fn headers_that_trickle_in_are_not_waited_for() {
        let (address, end) = one_place(Router::new().route("/", get(async || "here")));
        let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let trickle = tokio::spawn(async move {
            writer.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            while writer.write_all(b"x: y\r\n").await.is_ok() {
                time::sleep(IDLE / 10).await;
            }
        });
        is_served(address).await;
        let mut rest = Vec::new();
        // The server may reset it.
        let _ = reader.read_to_end(&mut rest).await;
        trickle.await.unwrap();
        end().await;
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_holds_no_place() {
        const LONG: usize = 64 * 1024 * 1024;
        let router = Router::new().route("/", get(async || "here")).route("/long", get(async || vec![b'x'; LONG]));
        let (address, end) = one_place(router);
        let mut deaf = TcpStream::connect(address).await.unwrap();
        deaf.write_all(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        is_served(address).await;
        end().await;
        drop(deaf);
    }
}
