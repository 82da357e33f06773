//! A connection that can fail: a TCP proxy that can be cut, or that can hold back its traffic.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The traffic that a [`Link`] forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Everything.
    Open,
    /// Nothing, but connections stay open, and bytes that were sent arrive once it is open again.
    Held,
    /// Nothing: existing and new connections are closed.
    Cut,
}

/// The proxy, which runs as long as the runtime.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    passage: watch::Sender<Passage>,
}

impl Link {
    /// Starts the proxy on a free port. It is open, and leads to `target`.
    ///
    /// # Errors
    /// Fails when there is no port.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (passage, state) = watch::channel(Passage::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *state.borrow() != Passage::Cut {
                    // `serve` ends with an error when a side closes the connection.
                    tokio::spawn(serve(client, target, state.clone()));
                }
            }
        });
        Ok(Self { address, passage })
    }

    /// Returns the address where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the traffic that it forwards.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

async fn serve(
    client: TcpStream,
    target: SocketAddr,
    passage: watch::Receiver<Passage>,
) -> Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client, server) = (client.into_split(), server.into_split());
    // When one direction ends, the other ends too.
    tokio::select! {
        ended = copy(client.0, server.1, passage.clone()) => ended,
        ended = copy(server.0, client.1, passage) => ended,
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut passage: watch::Receiver<Passage>,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = *passage.borrow_and_update();
        match now {
            Passage::Cut => return Ok(()),
            Passage::Held => passage.changed().await?,
            Passage::Open => tokio::select! {
                read = from.read(&mut buffer) => {
                    let read = read?;
                    if read == 0 {
                        return Ok(());
                    }
                    to.write_all(&buffer[..read]).await?;
                }
                changed = passage.changed() => changed?,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn held_data_arrives_later() {
        let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let link = Link::start(target.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(link.address()).await.unwrap();
        let (mut server, _) = target.accept().await.unwrap();
        let mut byte = [0];
        client.write_all(b"a").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();

        link.set(Passage::Held);
        client.write_all(b"b").await.unwrap();
        assert!(
            timeout(Duration::from_millis(50), server.read_exact(&mut byte))
                .await
                .is_err()
        );
        link.set(Passage::Open);
        server.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"b");

        link.set(Passage::Cut);
        assert_eq!(client.read(&mut byte).await.unwrap(), 0);
    }
}
