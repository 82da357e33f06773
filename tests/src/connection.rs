//! Requests as bytes: a connection that sends exactly the bytes of a test, which HTTP clients would
//! normalize or refuse.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gateway::Answer;

/// The time that an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A client for one address, with one HTTP/1.1 connection at a time.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// Creates a client for `address`. The first request opens the connection.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
        }
    }

    /// Opens the connection, unless it is open.
    ///
    /// # Errors
    /// Fails when nobody listens there.
    pub async fn open(&mut self) -> Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(BufReader::new(stream));
        }
        Ok(())
    }

    /// Sends one request, which [`request`] writes, and reads its answer. If the answer closes the
    /// connection, the next request opens another.
    ///
    /// # Errors
    /// Fails when there is no answer, or when it is not HTTP.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer> {
        self.open().await?;
        // After an error the stream is not put back.
        let mut stream = self.stream.take().context("not open")?;
        stream.get_mut().write_all(request).await?;
        let (answer, ends) = timeout(ANSWER, read(&mut stream))
            .await
            .context("no answer")??;
        if !ends {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// Writes a request without a body, with `target` and `headers` unchanged. The host is `gateway`,
/// unless a header names another.
#[must_use]
pub fn request(method: &str, target: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = [method.as_bytes(), b" ", target.as_ref(), b" HTTP/1.1\r\n"].concat();
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        bytes.extend_from_slice(b"host: gateway\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Returns the answer, and whether it closes the connection.
async fn read(stream: &mut BufReader<TcpStream>) -> Result<(Answer, bool)> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line
        .split(' ')
        .nth(1)
        .with_context(|| format!("no status line: {line:?}"))?
        .parse()?;
    let mut headers = HeaderMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let header = line
            .strip_suffix("\r\n")
            .with_context(|| format!("no end of the headers: {line:?}"))?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("no header: {header:?}"))?;
        headers.append(
            HeaderName::try_from(name)?,
            HeaderValue::try_from(value.trim())?,
        );
    }
    let Some(length) = headers.get(CONTENT_LENGTH) else {
        bail!("an answer {status} without a length")
    };
    let mut body = vec![0; length.to_str()?.parse()?];
    stream.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let ends = headers
        .get("connection")
        .is_some_and(|value| value == "close");
    ensure!(status >= 200, "an answer {status}, which is none yet");
    Ok((
        Answer {
            status,
            headers,
            body,
        },
        ends,
    ))
}
