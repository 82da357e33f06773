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
    pub(crate) elsewhere: Vec<RemoteUsage>,
    /// True if too many keys were waiting: they must be read from the store.
    pub(crate) missed: bool,
    /// True if a report was rejected permanently.
    pub(crate) failed: bool,
}

#[derive(Default)]
struct Waiting {
    acknowledged: Vec<u64>,
    /// The usage by other nodes, by key. A newer count replaces an older one.
    elsewhere: BTreeMap<u64, RemoteUsage>,
    missed: bool,
    failed: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.elsewhere.is_empty() && !self.missed && !self.failed
    }

    fn tell(&mut self, told: RemoteUsage) {
        if self.missed {
            return;
        }
        let waiting = self.elsewhere.entry(told.key).or_insert(told);
        for (waiting, newer) in waiting.windows.iter_mut().zip(told.windows) {
            *waiting = newer.or(*waiting);
        }
        if self.elsewhere.len() > MAX_WAITING {
            self.elsewhere.clear();
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
    pub(crate) fn tell(&self, keys: Vec<RemoteUsage>) {
        self.0
            .send_modify(|waiting| keys.into_iter().for_each(|told| waiting.tell(told)));
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
            let rest = waiting.elsewhere.keys().nth(KEYS).copied();
            let rest = rest
                .map(|key| waiting.elsewhere.split_off(&key))
                .unwrap_or_default();
            mail.elsewhere = std::mem::replace(&mut waiting.elsewhere, rest)
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

    fn told(key: u64, minute: Option<u32>, day: Option<u32>) -> RemoteUsage {
        let count = |count: Option<u32>| count.map(|count| Count { number: 7, count });
        let windows: Windows = [count(minute), None, count(day), None];
        RemoteUsage {
            key,
            slot: 1,
            windows,
        }
    }

    #[test]
    fn what_is_newer_takes_the_place_of_what_is_older() {
        let mailbox = Mailbox::default();
        mailbox.tell(vec![told(1, Some(5), Some(5)), told(2, Some(1), None)]);
        mailbox.tell(vec![told(1, Some(6), None)]);
        let mail = mailbox.take();
        assert_eq!(
            mail.elsewhere,
            [told(1, Some(6), Some(5)), told(2, Some(1), None)]
        );
        assert_eq!(mailbox.take(), Mail::default());
    }

    #[test]
    fn a_round_has_a_bounded_number_of_keys() {
        let mailbox = Mailbox::default();
        mailbox.tell((0..2_500).map(|key| told(key, Some(1), None)).collect());
        let rounds: Vec<_> = (0..4).map(|_| mailbox.take().elsewhere.len()).collect();
        assert_eq!(rounds, [1_000, 1_000, 500, 0]);
    }

    #[test]
    fn what_is_too_much_is_left_to_the_store() {
        let mailbox = Mailbox::default();
        mailbox.tell((0..10_001).map(|key| told(key, Some(1), None)).collect());
        mailbox.tell(vec![told(1, Some(2), None)]);
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
        mailbox.tell(vec![told(1, Some(2), None)]);
        assert_eq!(mailbox.take().elsewhere, [told(1, Some(2), None)]);
    }

    #[tokio::test]
    async fn it_is_filled_until_it_is_empty() {
        let mailbox = Mailbox::default();
        mailbox.acknowledge(1);
        mailbox.filled().await;
        mailbox.filled().await;
        mailbox.take();
        let filled = tokio::time::timeout(Duration::from_millis(20), mailbox.filled());
        assert!(filled.await.is_err());
    }
}
