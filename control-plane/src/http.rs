//! Serves the API: HTTP/1.1, on a bounded number of connections, none of which is waited for without end.

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

/// Connections that are open at once; more wait to be accepted.
pub(crate) const CONNECTIONS: usize = 1_024;

/// From a connection's first moment, or the end of its last answer, to the end of the next request's headers. What
/// comes after those has the time that a request has.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// After a connection that could not be accepted, as when too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// Who has opened the connection of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves until `stop`, and then until requests that are under way are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, connections: usize, mut stop: Stop) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(connections));
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
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service).into_owned());
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

    #[tokio::test]
    async fn a_connection_waits_for_a_place_and_no_place_is_held_by_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopper, stop) = stop::channel();
        let router = Router::new().route("/", get(async || "here"));
        let server = tokio::spawn(serve(listener, router, 1, stop));
        let started = Instant::now();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let answered = time::timeout(Duration::from_secs(20), other.read_to_string(&mut answer));
        answered.await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        assert!(started.elapsed() >= HEADERS_WITHIN, "there was a second place");
        stopper.stop();
        server.await.unwrap();
    }
}
