//! The snapshot of a node, built from the batches that it received.

use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::{KeyRecord, Kind, PolicyRecord, Records};
use latchkey_policy::settings::SettingsRecord;
use latchkey_protocol::Batch;
use std::collections::BTreeMap;

/// A key in a node's snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldKey {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) policy: u64,
    pub(crate) number: u64,
    pub(crate) slot: u32,
    pub(crate) secret: u32,
    pub(crate) expires_at: Option<i64>,
    pub(crate) disabled: bool,
}

/// The snapshot that a node serves from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) epoch: Vec<u8>,
    pub(crate) revision: u64,
    pub(crate) tag: Vec<u8>,
    pub(crate) settings: Option<SettingsRecord>,
    pub(crate) policies: BTreeMap<u64, PolicyRecord>,
    pub(crate) keys: BTreeMap<KeyDigest, HeldKey>,
}

impl Snapshot {
    /// Applies a batch. Panics if a node would have to refuse it.
    pub(crate) fn apply(&mut self, batch: &Batch) {
        for record in Records::new(Kind::Routes, &batch.routes) {
            self.settings = Some(SettingsRecord::decode(record.unwrap().1).unwrap());
        }
        for record in Records::new(Kind::Policy, &batch.policies) {
            let policy = PolicyRecord::decode(record.unwrap().1).unwrap();
            self.policies.insert(policy.id, policy);
        }
        for record in Records::new(Kind::Key, &batch.keys) {
            let key = KeyRecord::decode(record.unwrap().1).unwrap();
            assert!(
                self.policies.contains_key(&key.policy),
                "a key came before its policy"
            );
            let held = HeldKey {
                id: format!("key_{}", key.id),
                name: key.name.to_owned(),
                policy: key.policy,
                number: key.number,
                slot: key.slot,
                secret: key.secret,
                expires_at: key.expires_at,
                disabled: key.disabled,
            };
            self.keys.insert(key.digest, held);
        }
        let (removed, rest) = batch.removed_keys.as_chunks();
        assert!(rest.is_empty());
        for digest in removed {
            self.keys.remove(&KeyDigest(*digest));
        }
        let (unused, rest) = batch.removed_policies.as_chunks();
        assert!(rest.is_empty());
        for id in unused {
            let id = u64::from_le_bytes(*id);
            assert!(
                self.keys.values().all(|key| key.policy != id),
                "a policy went before its keys"
            );
            self.policies.remove(&id);
        }
        if batch.revision > 0 {
            assert!(batch.revision >= self.revision && batch.tag.len() == 16);
            (self.revision, self.tag) = (batch.revision, batch.tag.to_vec());
        }
    }

    /// Returns whether the snapshot's settings report imported keys.
    pub(crate) fn imported(&self) -> bool {
        self.settings
            .as_ref()
            .is_some_and(|settings| settings.imported)
    }

    /// Returns the key with this secret.
    pub(crate) fn by(&self, secret: &str) -> Option<&HeldKey> {
        self.keys.get(&KeyDigest::of(secret.as_bytes()))
    }

    /// Returns the policy of the key of that name.
    pub(crate) fn policy(&self, name: &str) -> &PolicyRecord {
        &self.policies[&self.key(name).policy]
    }

    pub(crate) fn key(&self, name: &str) -> &HeldKey {
        self.keys
            .values()
            .find(|key| key.name == name)
            .unwrap_or_else(|| panic!("no key {name}"))
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.keys.values().map(|key| key.name.as_str()).collect();
        names.sort_unstable();
        names
    }
}
