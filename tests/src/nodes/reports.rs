//! Reports of usage, as the filter sends them: totals, with one unacknowledged report at a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use latchkey_protocol::window_count::Kind;
use latchkey_protocol::{KeyUsage, LastUse, Usage, WindowCount};

/// The content and interval of every node's reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reports {
    /// The interval between two reports.
    pub every: Duration,
    /// The number of keys in each report.
    pub keys: usize,
}

/// The reports of one stream.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    sequence: u64,
    unacknowledged: bool,
    /// The number of requests with each key so far. Every report adds one.
    requests: u64,
}

impl Reporter {
    /// Returns a node's next report about these keys, if the last one is stored.
    pub(super) fn next(&mut self, keys: &[u64]) -> Option<Usage> {
        if self.unacknowledged || keys.is_empty() {
            return None;
        }
        self.unacknowledged = true;
        self.sequence += 1;
        self.requests += 1;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let keys = keys
            .iter()
            .map(|&key| usage(key, self.requests, now))
            .collect();
        Some(Usage {
            sequence: self.sequence,
            keys,
        })
    }

    /// Notes that a report is stored.
    pub(super) fn stored(&mut self, sequence: u64) {
        self.unacknowledged &= sequence != self.sequence;
    }

    /// Continues with the same counts on another stream, where the reports are numbered from the
    /// start.
    pub(super) fn begin_anew(&mut self) {
        (self.sequence, self.unacknowledged) = (0, false);
    }
}

fn usage(key: u64, requests: u64, now: u64) -> KeyUsage {
    let window = |kind: Kind, seconds: u64| WindowCount {
        kind: kind.into(),
        number: u32::try_from(now / seconds).unwrap_or(u32::MAX),
        count: u32::try_from(requests).unwrap_or(u32::MAX),
    };
    KeyUsage {
        key,
        requests: vec![requests],
        // Months differ in length; three windows of fixed length make the same work.
        windows: vec![
            window(Kind::Minute, 60),
            window(Kind::Hour, 3_600),
            window(Kind::Day, 86_400),
        ],
        last_uses: vec![LastUse {
            secret: 1,
            at: now.cast_signed(),
            ip: vec![192, 0, 2, 1],
        }],
    }
}
