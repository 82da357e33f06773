//! Connections of nodes. Their number is limited, and so is the time for which one may have no
//! session. So peers that send nothing, or open no stream, keep no node out.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{self, Instant, Sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, error};

use crate::stop::Stop;

/// The maximum time of a connection without a session: the five seconds that a session waits for
/// Hello, and a moment in which the node receives the reason of a refusal.
const HELLO_WITHIN: Duration = Duration::from_millis(5_500);

/// The maximum number of connections without a session so far. Further ones wait to be accepted.
const WITHOUT_HELLO: usize = 256;

/// The pause after a connection that could not be accepted, for example because too many files are
/// open.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts at most `connections` open connections, until `stop`.
pub(super) fn accept(
    listener: TcpListener,
    connections: usize,
    mut stop: Stop,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, accepted) = mpsc::channel(1);
    let places = Arc::new(Semaphore::new(connections));
    let greeting = Arc::new(Semaphore::new(WITHOUT_HELLO.min(connections)));
    tokio::spawn(async move {
        loop {
            let connection = tokio::select! {
                connection = accept_one(&listener, &places, &greeting) => connection,
                () = stop.requested() => return,
            };
            match connection {
                Ok(connection) => {
                    if sender.send(Ok(connection)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    error!(%error, "cannot accept a node's connection");
                    time::sleep(PAUSE).await;
                }
            }
        }
    });

    ReceiverStream::new(accepted)
}

async fn accept_one(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    greeting: &Arc<Semaphore>,
) -> io::Result<Connection> {
    let place = places
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let greeting = greeting
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, remote) = listener.accept().await?;
    stream.set_nodelay(true)?;

    Ok(Connection::new(stream, remote, place, greeting))
}

/// The state that a connection shares with its sessions.
struct Shared {
    sessions: usize,
    /// The end of the last session, or the start of the connection.
    since: Instant,
    /// The place among connections without a session, held until the first one.
    _greeting: Option<OwnedSemaphorePermit>,
}

/// A handle to a connection, for its sessions.
#[derive(Clone)]
pub(super) struct ConnectionHandle {
    pub(super) remote: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl ConnectionHandle {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        // No code panics while it holds the lock.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the connection open for an admitted node, until the guard is dropped.
    pub(super) fn keep_open(&self) -> OpenSession {
        let mut shared = self.lock();
        shared.sessions = shared.sessions.saturating_add(1);
        shared._greeting = None;
        drop(shared);
        OpenSession(self.clone())
    }

    /// Returns the time at which the connection is closed, or checked again.
    fn deadline(&self, now: Instant) -> Instant {
        let shared = self.lock();
        if shared.sessions > 0 {
            now + HELLO_WITHIN
        } else {
            shared.since + HELLO_WITHIN
        }
    }
}

/// An open session on a connection.
pub(super) struct OpenSession(ConnectionHandle);

impl Drop for OpenSession {
    fn drop(&mut self) {
        let mut shared = self.0.lock();
        shared.sessions = shared.sessions.saturating_sub(1);
        shared.since = Instant::now();
    }
}

/// A connection that fails after too long a time without a session.
pub(super) struct Connection {
    stream: TcpStream,
    handle: ConnectionHandle,
    deadline: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(
        stream: TcpStream,
        remote: SocketAddr,
        place: OwnedSemaphorePermit,
        greeting: OwnedSemaphorePermit,
    ) -> Self {
        let shared = Shared {
            sessions: 0,
            since: Instant::now(),
            _greeting: Some(greeting),
        };
        let handle = ConnectionHandle {
            remote,
            shared: Arc::new(Mutex::new(shared)),
        };
        Self {
            stream,
            handle,
            deadline: Box::pin(time::sleep(HELLO_WITHIN)),
            _place: place,
        }
    }

    /// Checks the deadline, and wakes the task at the deadline. Called before every operation,
    /// because HTTP/2 reads nothing while it has responses that the peer does not read.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.deadline.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let deadline = self.handle.deadline(now);
            if deadline <= now {
                debug!(remote = %self.handle.remote, "closed a connection without Hello");
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.deadline.as_mut().reset(deadline);
        }
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionHandle;

    fn connect_info(&self) -> ConnectionHandle {
        self.handle.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
