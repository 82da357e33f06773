//! What nodes have counted: requests by verdict, what they admitted in the calendar's windows, and
//! the last use of keys.
//!
//! Nodes report totals. What is stored with a total is the total itself, so a report that comes
//! twice counts once: [`commit`] turns totals into what is new, [`counts`] says what a node must
//! know of the others and [`news`] of which keys, [`read`], [`buckets`] and [`top`] are what people
//! ask for, and [`tidy`] deletes what nobody needs any more.
//!
//! Nodes do not decide by any of this as part of a snapshot, so none of it advances the revision.

mod buckets;
mod commit;
mod counts;
mod news;
mod read;
mod tidy;
mod top;

pub use buckets::{Bucket, Group, NamedKey, Resolution, UsageQuery};
pub use counts::{Count, Current, Elsewhere, ElsewherePage};
pub use news::News;
pub use read::KeyUsage;
pub(super) use read::admitted;
pub(super) use tidy::{forget, trusts};

use latchkey_policy::limit::Window;
use latchkey_policy::meter::Outcome;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Requests in a total, and in a bucket, at most: the integers that JSON carries exactly.
pub const MAX_REQUESTS: u64 = (1 << 53) - 1;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// Requests by verdict, in the order of [`Outcome::ALL`].
pub type Requests = [u64; Outcome::ALL.len()];

/// What one Envoy process has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// SHA-256 of the meters' secret, or of version 0.1 the process' number; both in hexadecimal.
    pub instance: String,
    /// The counts by key.
    pub keys: Vec<KeyReport>,
    /// Whether its clock differs by so much that what it says of windows is held back.
    pub clock_is_off: bool,
}

/// What came of some reports.
#[derive(Debug, Default)]
pub struct Taken {
    /// What is new to other processes.
    pub news: News,
    /// Processes of which counts were held back, as their windows are ahead of our clock or their
    /// clock is off.
    pub held_back: BTreeSet<String>,
}

/// What one Envoy process has counted of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReport {
    /// The key's number, if there is such a key.
    pub key: u64,
    /// Since the process began; each at most [`MAX_REQUESTS`].
    pub requests: Requests,
    /// Admitted in the newest window of each kind, in the order of [`Window::ALL`].
    pub windows: Windows,
    /// Of at most one use of each secret.
    pub last_uses: Vec<LastUse>,
}

/// A count for each kind of window, in the order of [`Window::ALL`].
pub type Windows = [Option<Count>; Window::ALL.len()];

/// The newest request that was admitted with one of a key's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUse {
    /// The secret's number.
    pub secret: u32,
    /// Unix seconds.
    pub at: i64,
    /// The client's address.
    pub from: Option<IpAddr>,
}

/// How a kind of window is stored, and told of on the stream.
pub fn kind(window: Window) -> i32 {
    match window {
        Window::Minute => 1,
        Window::Hour => 2,
        Window::Day => 3,
        Window::Month => 4,
    }
}

/// What a list holds, however long it is: another version may have had more or fewer kinds.
fn padded<T: Copy + Default, const N: usize>(list: Vec<T>) -> [T; N] {
    let mut padded = [T::default(); N];
    padded
        .iter_mut()
        .zip(list)
        .for_each(|(to, from)| *to = from);
    padded
}

/// A key's number as SQLite has it, which gives no higher ones.
fn seq(key: u64) -> Option<i64> {
    i64::try_from(key).ok()
}
