//! A TCP proxy that keeps a copy of every byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The proxy, which runs as long as the runtime. Clones are the same proxy.
#[derive(Debug, Clone)]
pub struct Tap {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    target: OnceLock<SocketAddr>,
    bytes: Mutex<Vec<u8>>,
}

impl Tap {
    /// Starts the proxy on a free port. Connections end at once until it [leads](Self::lead_to)
    /// anywhere.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let tap = Self {
            address: listener.local_addr()?,
            shared: Arc::default(),
        };
        let shared = tap.shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // `serve` ends with an error when a side closes the connection.
                let shared = shared.clone();
                tokio::spawn(async move { drop(shared.serve(client).await) });
            }
        });
        Ok(tap)
    }

    /// Returns the address where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the target, once.
    pub fn lead_to(&self, target: SocketAddr) {
        // A second call has the same target.
        let _ = self.shared.target.set(target);
    }

    /// Returns the bytes of both directions, in the order in which they came.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.shared
            .bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Shared {
    async fn serve(&self, client: TcpStream) -> Result<()> {
        let server = TcpStream::connect(self.target.get().context("it leads nowhere")?).await?;
        let (client, server) = (client.into_split(), server.into_split());
        // When one direction ends, the other ends too.
        tokio::select! {
            ended = self.copy(client.0, server.1) => ended,
            ended = self.copy(server.0, client.1) => ended,
        }
    }

    async fn copy(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            self.bytes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&buffer[..read]);
            to.write_all(&buffer[..read]).await?;
        }
    }
}
