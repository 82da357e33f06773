//! A load from one thread: each of several connections sends its next request when the last one is
//! answered.
//!
//! It only reads the status and the end of an answer, so that the thread can keep an Envoy on
//! another core busy.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::traffic::Traffic;

/// The timeout of an answer.
const ANSWER_MS: u16 = 10_000;

/// The largest latency that is recorded, in nanoseconds. Longer ones are recorded as this.
const LONGEST_LATENCY: u64 = 60_000_000_000;

/// The size of the read buffer. No answer is longer.
const LONGEST_ANSWER: usize = 16 * 1024;

/// The connections to one address.
pub(crate) struct Load {
    streams: Vec<TcpStream>,
}

/// The results of a load.
pub(crate) struct Outcome {
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// The times from sending to the answer's end, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) elapsed: Duration,
}

impl Outcome {
    pub(crate) fn requests(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Fails unless every request passed.
    pub(crate) fn all_passed(&self) -> Result<()> {
        let passed = self.statuses.get(&200).copied().unwrap_or_default();
        ensure!(
            passed > 0 && passed == self.requests(),
            "not all requests passed: {:?}",
            self.statuses
        );
        Ok(())
    }
}

/// Returns an empty histogram.
pub(crate) fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST_LATENCY, 3)?)
}

/// A request that is not answered yet.
struct Pending {
    sent: Instant,
    answer: Vec<u8>,
    filled: usize,
}

impl Load {
    pub(crate) fn connect(address: SocketAddr, connections: usize) -> Result<Self> {
        let connect = |_| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        Ok(Self {
            streams: (0..connections).map(connect).collect::<Result<_>>()?,
        })
    }

    /// Sends requests while `goes_on` returns true for the number of requests sent, and waits for
    /// the answers to all.
    pub(crate) fn run(
        &self,
        traffic: &mut Traffic,
        mut goes_on: impl FnMut(u64) -> bool,
    ) -> Result<Outcome> {
        let began = Instant::now();
        let mut outcome = Outcome {
            statuses: BTreeMap::new(),
            latencies: latencies()?,
            elapsed: Duration::ZERO,
        };
        let mut polled: Vec<_> = self
            .streams
            .iter()
            .map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLIN))
            .collect();
        let mut pending = Vec::new();
        for mut stream in &self.streams {
            stream.write_all(traffic.next())?;
            pending.push(Pending {
                sent: Instant::now(),
                answer: vec![0; LONGEST_ANSWER],
                filled: 0,
            });
        }
        let (mut sent, mut under_way) = (self.streams.len() as u64, self.streams.len());
        while under_way > 0 {
            ensure!(
                poll(&mut polled, PollTimeout::from(ANSWER_MS))? > 0,
                "no answer within {ANSWER_MS} ms"
            );
            for ((mut stream, polled), pending) in
                self.streams.iter().zip(&polled).zip(&mut pending)
            {
                if !polled.any().unwrap_or(true) {
                    continue;
                }
                let Some(status) = pending.read(stream)? else {
                    continue;
                };
                let nanos = u64::try_from(pending.sent.elapsed().as_nanos())?;
                outcome.latencies.saturating_record(nanos);
                *outcome.statuses.entry(status).or_default() += 1;
                if goes_on(sent) {
                    // A request fits into an empty socket buffer.
                    stream.write_all(traffic.next())?;
                    pending.sent = Instant::now();
                    sent += 1;
                } else {
                    under_way -= 1;
                }
            }
        }
        outcome.elapsed = began.elapsed();
        Ok(outcome)
    }

    /// Sends requests for `time`.
    pub(crate) fn run_for(&self, traffic: &mut Traffic, time: Duration) -> Result<Outcome> {
        let end = Instant::now() + time;
        self.run(traffic, |_| Instant::now() < end)
    }
}

impl Pending {
    /// Returns the answer's status, once the whole answer is there.
    fn read(&mut self, mut stream: &TcpStream) -> Result<Option<u16>> {
        match stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => {
                bail!("the connection ended, or the answer is longer than {LONGEST_ANSWER} bytes")
            }
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let answer = &self.answer[..self.filled];
        let Some((status, len)) = head(answer)? else {
            return Ok(None);
        };
        if answer.len() < len {
            return Ok(None);
        }
        ensure!(
            answer.len() == len,
            "{} bytes behind an answer",
            answer.len() - len
        );
        self.filled = 0;
        Ok(Some(status))
    }
}

/// Returns the status and the length of an answer whose head is complete.
pub(crate) fn head(answer: &[u8]) -> Result<Option<(u16, usize)>> {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(end) = find(answer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &answer[..end];
    let status = std::str::from_utf8(head.get(9..12).context("no status line")?)?.parse()?;
    let digits = &head[find(head, LENGTH).context("an answer without a length")? + LENGTH.len()..];
    let digits = digits
        .split(|byte| !byte.is_ascii_digit())
        .next()
        .unwrap_or_default();
    let body: usize = std::str::from_utf8(digits)?.parse()?;
    Ok(Some((status, end + 4 + body)))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    // This byte is rare in an answer, so few windows are compared.
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == wanted[0]) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn response_ends_where_its_head_says() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nserver: envoy\r\n\r\nok";
        assert_eq!(head(answer).unwrap(), Some((200, answer.len())));
        assert_eq!(head(&answer[..40]).unwrap(), None);
        assert!(head(b"HTTP/1.1 200 OK\r\nserver: envoy\r\n\r\n").is_err());
    }
}
