//! Serves the API: HTTP/1.1, on a limited number of connections, each with time limits.

mod connection_service;
mod places;
mod write_timeout;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use latchkey_model::client_network::ClientNetwork;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{self, Instant};
use tracing::{debug, error};

use crate::stop::Stop;
use connection_service::ConnectionService;
pub use places::Place;
use places::{Admission, Places};
use write_timeout::WriteTimeout;

/// The limits for clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The maximum number of open connections. A further connection replaces one that waits for its
    /// client, or waits itself.
    pub(crate) connections: usize,
    /// The maximum number of one client's connections without a caller's credential.
    pub(crate) per_client: usize,
    /// The time limit from a connection's start, or the end of its last response, to the end of the
    /// next request's headers. Also the time limit while a client reads nothing of a response. The
    /// rest of a request has the request's own time limit.
    pub(crate) idle: Duration,
}

/// The pause after a connection that could not be accepted, for example because too many files are
/// open.
const PAUSE: Duration = Duration::from_millis(100);

/// The maximum number of buffered bytes of a connection, which also limits the headers of a
/// request.
const MAX_BUFFERED: usize = 32 * 1024;

/// The peer of a request's connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves until `stop`, and then until requests in progress are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, mut stop: Stop) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(MAX_BUFFERED);
    let graceful = GracefulShutdown::new();
    let places = Places::new(limits);

    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stop.requested() => break,
        };
        let (stream, peer, place) = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => continue,
            Err(error) => {
                error!(%error, "a connection cannot be accepted");
                time::sleep(PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(ConnectionService {
            router: router.clone(),
            place: place.clone(),
            peer,
        });
        let stream = TokioIo::new(WriteTimeout::new(stream, limits.idle));
        let connection = graceful.watch(http.serve_connection(stream, service).into_owned());
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    debug!(error, "a connection ended early");
                },
                () = place.lost() => debug!("a connection has lost its place to another"),
            }
        });
    }

    drop(listener);
    graceful.shutdown().await;
}

/// Returns the next connection once it has a place, or `None` if it is refused.
async fn accept(
    listener: &TcpListener,
    places: &Places,
) -> io::Result<Option<(TcpStream, Peer, Place)>> {
    let (stream, address) = listener.accept().await?;
    let client = ClientNetwork::from_address(Some(address.ip()));
    loop {
        match places.admit(client, Instant::now()) {
            Admission::Admitted(place) => return Ok(Some((stream, Peer(address), place))),
            Admission::Refused => return Ok(None),
            Admission::Later(wait) => tokio::select! {
                () = places.freed() => {}
                () = time::sleep(wait) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const IDLE: Duration = Duration::from_millis(200);

    /// Starts a server of this router with one place. Returns its address and a function that stops
    /// it.
    fn one_place(router: Router) -> (SocketAddr, impl AsyncFnOnce()) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stopper, stop) = stop::channel();
        let limits = Limits {
            connections: 1,
            per_client: 1,
            idle: IDLE,
        };
        let server = tokio::spawn(serve(
            TcpListener::from_std(listener).unwrap(),
            router,
            limits,
            stop,
        ));
        let end = async move || {
            stopper.stop();
            server.await.unwrap();
        };

        (address, end)
    }

    async fn is_served(address: SocketAddr) {
        let mut other = TcpStream::connect(address).await.unwrap();
        other
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        let answered = time::timeout(Duration::from_secs(20), other.read_to_string(&mut answer));
        answered.await.unwrap().unwrap();

        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn silent_connection_yields_its_place() {
        let (address, end) = one_place(Router::new().route("/", get(async || "here")));
        for begun in [
            "",
            "GET / HTTP/1.1\r\nhost: ",
            "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        ] {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(begun.as_bytes()).await.unwrap();
            let started = Instant::now();
            is_served(address).await;
            assert!(
                started.elapsed() >= places::GRACE / 2,
                "there was a second place beside {begun:?}"
            );
        }

        end().await;
    }

    #[tokio::test]
    async fn slow_headers_are_cut_off() {
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

        // The server may reset the connection.
        let _ = reader.read_to_end(&mut rest).await;
        trickle.await.unwrap();
        end().await;
    }

    #[tokio::test]
    async fn unread_response_holds_no_place() {
        const LONG: usize = 64 * 1024 * 1024;
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/long", get(async || vec![b'x'; LONG]));
        let (address, end) = one_place(router);
        let mut deaf = TcpStream::connect(address).await.unwrap();
        deaf.write_all(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        is_served(address).await;
        end().await;

        drop(deaf);
    }
}
