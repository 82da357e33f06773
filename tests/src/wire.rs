//! An upstream that only reads a request to find its end, and returns the path as the bytes that
//! arrived.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::Answer;

/// An HTTP/1.1 server for requests without bodies, which runs as long as the runtime. It answers
/// with 200 and the text that [`arrived_path`] reads.
#[derive(Debug)]
pub struct WireUpstream {
    port: u16,
}

impl WireUpstream {
    /// Starts the server on a free port.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // `serve` ends with an error when the client closes the connection.
                tokio::spawn(async move { drop(serve(stream).await) });
            }
        });
        Ok(Self { port })
    }

    /// Returns the port on 127.0.0.1 where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Returns the request's target as it arrived at a [`WireUpstream`]: the bytes between the first
/// space of its first line and the last one.
///
/// # Errors
/// Fails when the answer is not from such an upstream.
pub fn arrived_path(answer: &Answer) -> Result<Vec<u8>> {
    let line = answer.body["line"]
        .as_array()
        .context("this comes from no wire upstream")?;
    let line: Vec<u8> = line
        .iter()
        .filter_map(|byte| u8::try_from(byte.as_u64()?).ok())
        .collect();
    let blank = |byte: &u8| *byte == b' ';
    let (first, last) = line
        .iter()
        .position(blank)
        .zip(line.iter().rposition(blank))
        .context("no target")?;
    Ok(line[first + 1..last].to_vec())
}

async fn serve(stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).await?;
        let mut header = Vec::new();
        while header != b"\r\n" {
            header.clear();
            anyhow::ensure!(
                stream.read_until(b'\n', &mut header).await? > 0,
                "the request broke off"
            );
        }
        let body = json!({ "line": line }).to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}
