//! An upstream that reads headers as CGI programs do, and that accepts WebSocket upgrades.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// An HTTP/1.1 server that runs as long as the runtime.
///
/// It answers any request with 200 and JSON. `headers` and `trailers` are lists of pairs, the names
/// and values as they arrived. `first` and `last` have them as variables: the name in upper case,
/// with `_` for each character that is neither a letter nor a digit. If several names become the
/// same variable, `first` has the first value and `last` the last. It answers a request with
/// `Upgrade` with 101, then with the same JSON as one line, and then echoes the bytes that it
/// receives.
#[derive(Debug)]
pub struct CgiUpstream {
    port: u16,
}

type Fields = Vec<(String, String)>;

impl CgiUpstream {
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

async fn serve(stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        line(&mut stream).await?;
        let headers = fields(&mut stream).await?;
        let value = |name: &str| {
            headers
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, value)| value.as_str())
        };
        if value("upgrade").is_some() {
            let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            let seen = seen(&headers, &Vec::new());
            stream
                .get_mut()
                .write_all(format!("{head}{seen}\n").as_bytes())
                .await?;
            let (mut read, mut write) = tokio::io::split(stream);
            tokio::io::copy(&mut read, &mut write).await?;
            return Ok(());
        }
        let mut trailers = Vec::new();
        if value("transfer-encoding").is_some() {
            loop {
                let length = usize::from_str_radix(line(&mut stream).await?.trim(), 16)?;
                if length == 0 {
                    break;
                }
                stream.read_exact(&mut vec![0; length + 2]).await?;
            }
            trailers = fields(&mut stream).await?;
        } else if let Some(length) = value("content-length") {
            stream.read_exact(&mut vec![0; length.parse()?]).await?;
        }
        let body = seen(&headers, &trailers).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        stream
            .get_mut()
            .write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes())
            .await?;
    }
}

fn seen(headers: &Fields, trailers: &Fields) -> Value {
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in headers.iter().chain(trailers) {
        let variable = |byte: char| {
            if byte.is_ascii_alphanumeric() {
                byte.to_ascii_uppercase()
            } else {
                '_'
            }
        };
        let variable: String = name.chars().map(variable).collect();
        first.entry(variable.clone()).or_insert(value);
        last.insert(variable, value);
    }
    json!({ "headers": headers, "trailers": trailers, "first": first, "last": last })
}

/// Reads header lines, up to the empty one.
async fn fields(stream: &mut BufReader<TcpStream>) -> Result<Fields> {
    let mut fields = Vec::new();
    loop {
        let line = line(stream).await?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line
            .split_once(':')
            .with_context(|| format!("no header: {line:?}"))?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = Vec::new();
    ensure!(
        stream.read_until(b'\n', &mut line).await? > 0,
        "the request broke off"
    );
    Ok(String::from_utf8_lossy(&line)
        .trim_end_matches(['\r', '\n'])
        .to_owned())
}
