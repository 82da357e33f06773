//! Messages about usage that wait until a stream can send them to its node.

use latchkey_store::usage::RemoteUsage;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// The minimum interval between two reads of a mailbox. Everything that arrives in between is sent
/// together.
pub(crate) const PACE: Duration = Duration::from_millis(20);

/// The maximum number of keys in one message.
pub(crate) const KEYS: usize = 1_000;

/// The maximum number of waiting keys. Beyond it, all are discarded and read from the store again.
const MAX_WAITING: usize = 10_000;

/// The messages taken from a mailbox.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mail {
    /// The sequences of stored reports, at most those that the stream has handed over.
    pub(crate) acknowledged: Vec<u64>,
    /// The usage by other nodes, of at most [`KEYS`] keys.
    pub(crate) remote_usage: Vec<RemoteUsage>,
    /// True if too many keys were waiting: they must be read from the store.
    pub(crate) missed: bool,
    /// True if a report was rejected permanently.
    pub(crate) failed: bool,
}

#[derive(Default)]
struct Waiting {
    acknowledged: Vec<u64>,
    /// The usage by other nodes, by key. A newer count replaces an older one.
    remote_usage: BTreeMap<u64, RemoteUsage>,
    missed: bool,
    failed: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.remote_usage.is_empty() && !self.missed && !self.failed
    }

    fn add(&mut self, usage: RemoteUsage) {
        if self.missed {
            return;
        }

        let waiting = self.remote_usage.entry(usage.key).or_insert(usage);
        for (waiting, newer) in waiting.windows.iter_mut().zip(usage.windows) {
            *waiting = newer.or(*waiting);
        }

        if self.remote_usage.len() > MAX_WAITING {
            self.remote_usage.clear();
            self.missed = true;
        }
    }
}

/// The mailbox of one stream. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Mailbox(watch::Sender<Waiting>);

impl Mailbox {
    /// Returns whether both are the same stream's.
    #[cfg(test)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }

    /// Notes that the report `sequence` is stored.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        self.0
            .send_modify(|waiting| waiting.acknowledged.push(sequence));
    }

    /// Notes that a report was rejected permanently.
    pub(crate) fn fail(&self) {
        self.0.send_modify(|waiting| waiting.failed = true);
    }

    /// Adds usage by other nodes.
    pub(crate) fn add_remote_usage(&self, keys: Vec<RemoteUsage>) {
        self.0
            .send_modify(|waiting| keys.into_iter().for_each(|usage| waiting.add(usage)));
    }

    /// Resolves when there is a message. Cancelling it has no effect.
    pub(crate) async fn filled(&self) {
        // `self` holds the sender, so the channel cannot be closed.
        let _ = self
            .0
            .subscribe()
            .wait_for(|waiting| !waiting.is_empty())
            .await;
    }

    /// Takes the messages for one round of sending.
    pub(crate) fn take(&self) -> Mail {
        let mut mail = Mail::default();
        self.0.send_if_modified(|waiting| {
            let rest = waiting.remote_usage.keys().nth(KEYS).copied();
            let rest = rest
                .map(|key| waiting.remote_usage.split_off(&key))
                .unwrap_or_default();
            mail.remote_usage = std::mem::replace(&mut waiting.remote_usage, rest)
                .into_values()
                .collect();
            mail.acknowledged = std::mem::take(&mut waiting.acknowledged);
            mail.missed = std::mem::take(&mut waiting.missed);
            mail.failed = waiting.failed;
            // Nobody else waits for the mailbox to be emptied.
            false
        });
        mail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_store::usage::{Count, Windows};

    fn usage(key: u64, minute: Option<u32>, day: Option<u32>) -> RemoteUsage {
        let count = |count: Option<u32>| count.map(|count| Count { number: 7, count });
        let windows: Windows = [count(minute), None, count(day), None];
        RemoteUsage {
            key,
            slot: 1,
            windows,
        }
    }

    #[test]
    fn newer_count_replaces_older() {
        let mailbox = Mailbox::default();
        mailbox.add_remote_usage(vec![usage(1, Some(5), Some(5)), usage(2, Some(1), None)]);
        mailbox.add_remote_usage(vec![usage(1, Some(6), None)]);
        let mail = mailbox.take();
        assert_eq!(
            mail.remote_usage,
            [usage(1, Some(6), Some(5)), usage(2, Some(1), None)]
        );
        assert_eq!(mailbox.take(), Mail::default());
    }

    #[test]
    fn round_has_limited_keys() {
        let mailbox = Mailbox::default();
        mailbox.add_remote_usage((0..2_500).map(|key| usage(key, Some(1), None)).collect());
        let rounds: Vec<_> = (0..4).map(|_| mailbox.take().remote_usage.len()).collect();
        assert_eq!(rounds, [1_000, 1_000, 500, 0]);
    }

    #[test]
    fn overfull_mailbox_reports_missed_counts() {
        let mailbox = Mailbox::default();
        mailbox.add_remote_usage((0..10_001).map(|key| usage(key, Some(1), None)).collect());
        mailbox.add_remote_usage(vec![usage(1, Some(2), None)]);
        mailbox.acknowledge(3);
        let mail = mailbox.take();

        assert_eq!(
            mail,
            Mail {
                acknowledged: vec![3],
                missed: true,
                ..Mail::default()
            }
        );

        mailbox.add_remote_usage(vec![usage(1, Some(2), None)]);
        assert_eq!(mailbox.take().remote_usage, [usage(1, Some(2), None)]);
    }

    #[tokio::test]
    async fn mailbox_is_filled_until_taken() {
        let mailbox = Mailbox::default();
        mailbox.acknowledge(1);
        mailbox.filled().await;
        mailbox.filled().await;
        mailbox.take();
        let filled = tokio::time::timeout(Duration::from_millis(20), mailbox.filled());
        assert!(filled.await.is_err());
    }
}
