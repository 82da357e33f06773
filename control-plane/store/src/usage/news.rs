//! The keys with new counts that processes must receive.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The keys with newly admitted requests, until all processes that use them have received the
/// counts. A key has one entry, however often it is added.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The keys by number. The value is the only process that knows the new counts already, if
    /// there is one, because it admitted the requests itself.
    keys: BTreeMap<u64, Option<String>>,
}

impl News {
    /// Adds new counts of `key`, for all processes except `known_to`.
    pub fn add(&mut self, key: u64, known_to: Option<&str>) {
        match self.keys.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(known_to.map(str::to_owned));
            }
            Entry::Occupied(mut entry) => {
                if entry.get().as_deref() != known_to {
                    entry.insert(None);
                }
            }
        }
    }

    /// Adds all of `newer`.
    pub fn append(&mut self, newer: Self) {
        newer
            .keys
            .into_iter()
            .for_each(|(key, known_to)| self.add(key, known_to.as_deref()));
    }

    /// Removes at most `count` keys, and returns them.
    pub fn take(&mut self, count: usize) -> Self {
        let rest = self.keys.keys().nth(count).copied();
        let rest = rest
            .map(|key| self.keys.split_off(&key))
            .unwrap_or_default();
        Self {
            keys: std::mem::replace(&mut self.keys, rest),
        }
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys' numbers.
    pub fn keys(&self) -> Vec<u64> {
        self.keys.keys().copied().collect()
    }

    /// Returns whether a process that uses `key` may not know its new counts yet.
    pub fn is_for(&self, key: u64, instance: &str) -> bool {
        self.keys
            .get(&key)
            .is_some_and(|known_to| known_to.as_deref() != Some(instance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admissions_are_news_to_other_processes() {
        let mut news = News::default();
        news.add(1, Some("a"));
        news.add(1, Some("a"));
        assert_eq!(
            ["a", "b"].map(|instance| news.is_for(1, instance)),
            [false, true]
        );
        assert!(!news.is_for(2, "b"), "nothing is new there");
        let mut newer = News::default();
        newer.add(1, Some("b"));
        newer.add(2, None);
        news.append(newer);
        for (key, instance) in [(1, "a"), (1, "b"), (1, "c"), (2, "a")] {
            assert!(news.is_for(key, instance), "{key} {instance}");
        }
    }

    #[test]
    fn keys_are_taken_in_their_order() {
        let mut news = News::default();
        (1..=5).for_each(|key| news.add(key, None));
        let taken: Vec<_> = (0..4).map(|_| news.take(2).keys()).collect();
        assert_eq!(taken, [vec![1, 2], vec![3, 4], vec![5], vec![]]);
        assert!(news.is_empty());
    }
}
