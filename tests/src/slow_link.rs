//! A TCP proxy with a low bandwidth.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time;

/// The number of bytes that are forwarded at a time.
const STEP: usize = 512;

/// The approximate number of bytes that the kernel buffers.
const BUFFER: u32 = 4_096;

/// The proxy, which runs as long as the runtime. Clones are the same proxy.
#[derive(Debug, Clone)]
pub struct SlowLink {
    address: SocketAddr,
    target: Arc<OnceLock<SocketAddr>>,
}

impl SlowLink {
    /// Starts a proxy on a free port that forwards `bytes_a_second` to each client. Connections end
    /// at once until it [leads](Self::lead_to) anywhere.
    ///
    /// # Errors
    /// Fails when there is no port.
    pub async fn start(bytes_a_second: u32) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let link = Self {
            address: listener.local_addr()?,
            target: Arc::default(),
        };
        let target = link.target.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = target.clone();
                // `serve` ends with an error when a side closes the connection.
                tokio::spawn(async move { drop(serve(client, &target, bytes_a_second).await) });
            }
        });
        Ok(link)
    }

    /// Returns the address where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the target, once.
    pub fn lead_to(&self, target: SocketAddr) {
        // A second call has the same target.
        let _ = self.target.set(target);
    }
}

async fn serve(
    client: TcpStream,
    target: &OnceLock<SocketAddr>,
    bytes_a_second: u32,
) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    let server = socket
        .connect(*target.get().context("it leads nowhere")?)
        .await?;
    let (client, server) = (client.into_split(), server.into_split());
    // When one direction ends, the other ends too.
    tokio::select! {
        ended = copy(client.0, server.1, None) => ended,
        ended = copy(server.0, client.1, Some(bytes_a_second)) => ended,
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes_a_second: Option<u32>,
) -> Result<()> {
    let mut buffer = [0; STEP];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
        if let Some(rate) = bytes_a_second {
            time::sleep(Duration::from_secs_f64(
                f64::from(u32::try_from(read)?) / f64::from(rate),
            ))
            .await;
        }
    }
}
