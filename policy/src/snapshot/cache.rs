//! Keys that one worker keeps decoded, for as long as the head does not change.
//!
//! This is a set-associative cache, as in processors: a digest belongs in one set of a few places,
//! and if all are taken it replaces one in turn. Digests are already spread evenly, nobody can
//! choose them without knowing keys that exist, and unknown keys are not cached.

use super::CachedKey;
use crate::key::KeyDigest;
use std::rc::Rc;

/// The number of sets. With their entries, all places take some megabytes for each worker.
const SETS: usize = 2048;
const WAYS: usize = 4;

/// The cache, of at most 8,192 keys.
#[derive(Debug, Default)]
pub(super) struct KeyCache {
    /// The sets: none, or `SETS`.
    sets: Vec<Set>,
    /// True if any place is taken.
    used: bool,
}

#[derive(Debug, Clone, Default)]
struct Set {
    entries: [Option<Rc<CachedKey>>; WAYS],
    /// The place that is replaced next, modulo `WAYS`.
    next: u8,
}

impl KeyCache {
    pub(super) fn get(&self, digest: &KeyDigest) -> Option<&Rc<CachedKey>> {
        let set = self.sets.get(index(digest))?;
        set.entries
            .iter()
            .flatten()
            .find(|entry| entry.digest() == digest)
    }

    pub(super) fn put(&mut self, entry: Rc<CachedKey>) {
        if self.sets.is_empty() {
            self.sets.resize_with(SETS, Set::default);
        }

        let Some(set) = self.sets.get_mut(index(entry.digest())) else {
            return;
        };
        let next = usize::from(set.next) % WAYS;

        if let Some(place) = set.entries.get_mut(next) {
            *place = Some(entry);
            set.next = set.next.wrapping_add(1);
            self.used = true;
        }
    }

    pub(super) fn clear(&mut self) {
        if self.used {
            self.sets.fill(Set::default());
            self.used = false;
        }
    }
}

fn index(digest: &KeyDigest) -> usize {
    let [a, b, ..] = digest.0;
    usize::from(u16::from_le_bytes([a, b])) % SETS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::test_util;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn entry(digest: KeyDigest) -> Rc<CachedKey> {
        let policy = Policy::compile(
            &test_util::policy(1),
            &crate::settings::SnapshotSettings::default(),
        );
        Rc::new(
            CachedKey::from_live_record(&test_util::key(digest, 1, "CI"), Rc::new(policy)).unwrap(),
        )
    }

    /// Digests that are all in one set.
    fn digest(number: u8) -> KeyDigest {
        let mut digest = KeyDigest([0; 32]);
        digest.0[31] = number;
        digest
    }

    #[test]
    fn cached_entry_is_found_until_cleared() {
        let mut cache = KeyCache::default();
        let digests: Vec<_> = (0..100u8).map(|number| KeyDigest::of(&[number])).collect();
        assert!(digests.iter().all(|digest| cache.get(digest).is_none()));
        digests.iter().for_each(|digest| cache.put(entry(*digest)));
        assert!(digests.iter().all(|digest| {
            cache
                .get(digest)
                .is_some_and(|entry| entry.digest() == digest)
        }));
        cache.clear();
        assert!(digests.iter().all(|digest| cache.get(digest).is_none()));
    }

    #[test]
    fn full_cache_evicts_the_oldest() {
        let mut cache = KeyCache::default();
        (0..10).for_each(|number| cache.put(entry(digest(number))));
        let kept = (0..10)
            .filter(|number| cache.get(&digest(*number)).is_some())
            .collect::<Vec<_>>();
        assert_eq!(kept, [6, 7, 8, 9]);
    }
}
