//! The counts of nodes: requests by verdict, admitted requests in the windows of the calendar, and
//! the last use of keys.
//!
//! Nodes report totals, and the store keeps the last total, so a report that arrives twice counts
//! once. [`commit`] calculates the difference to the previous totals. [`counts`] calculates what a
//! node must know about the other nodes, and [`news`] for which keys. [`read`], [`buckets`] and
//! [`top`] answer queries of users, and [`cleanup`] deletes data that is no longer needed.
//!
//! None of this is part of a snapshot by which nodes decide, so none of it advances the revision.

mod buckets;
mod cleanup;
mod commit;
mod counts;
mod news;
mod query;
mod read;
mod top;

pub use super::clock::kind;
pub use buckets::{Bucket, NamedKey};
pub(super) use cleanup::forget;
pub use counts::{Count, Current, RemoteUsage, RemoteUsagePage};
pub use news::News;
pub use query::{Group, Resolution, UsageQuery};
pub use read::KeyUsage;
pub(super) use read::admitted;

use latchkey_policy::limit::Window;
use latchkey_policy::meter::Outcome;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The maximum number of requests in a total, and in a bucket: the largest integer that JSON
/// represents exactly.
pub const MAX_REQUESTS: u64 = (1 << 53) - 1;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The numbers of requests by verdict, in the order of [`Outcome::ALL`].
pub type Requests = [u64; Outcome::ALL.len()];

/// The counts of one Envoy process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The SHA-256 of the meters' secret, or the process' number for version 0.1, both in
    /// hexadecimal.
    pub instance: String,
    /// The counts by key.
    pub keys: Vec<KeyReport>,
    /// True if its clock deviates so much that its counts of windows are held back.
    pub clock_is_off: bool,
}

/// The result of processing reports.
#[derive(Debug, Default)]
pub struct Taken {
    /// The counts that other processes do not know yet.
    pub news: News,
    /// The processes of which counts were held back, because their windows are ahead of our clock
    /// or their clock deviates.
    pub held_back: BTreeSet<String>,
}

/// The counts of one Envoy process for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReport {
    /// The key's number, if there is such a key.
    pub key: u64,
    /// The numbers of requests since the process began, each at most [`MAX_REQUESTS`].
    pub requests: Requests,
    /// The numbers of requests that were admitted in the newest window of each kind, in the order
    /// of [`Window::ALL`].
    pub windows: Windows,
    /// The last uses of the key's secrets, at most one for each.
    pub last_uses: Vec<LastUse>,
}

/// A count for each kind of window, in the order of [`Window::ALL`].
pub type Windows = [Option<Count>; Window::ALL.len()];

/// The newest request that was admitted with one of a key's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUse {
    /// The secret's number.
    pub secret: u32,
    /// The time of the request, in Unix seconds.
    pub at: i64,
    /// The client's address.
    pub from: Option<IpAddr>,
}

/// Converts a list of any length to an array: another version may have had more or fewer kinds.
fn padded<T: Copy + Default, const N: usize>(list: Vec<T>) -> [T; N] {
    let mut padded = [T::default(); N];
    padded
        .iter_mut()
        .zip(list)
        .for_each(|(to, from)| *to = from);
    padded
}

/// Returns a key's number as an integer of SQLite, which assigns no higher ones.
fn seq(key: u64) -> Option<i64> {
    i64::try_from(key).ok()
}
