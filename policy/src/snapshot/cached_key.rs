//! A key, decoded for requests once for each snapshot.

use crate::identity;
use crate::key::KeyDigest;
use crate::policy::Policy;
use crate::record::{KEY_ID_PREFIX, KeyRecord};
use std::cell::OnceCell;
use std::rc::Rc;

/// A key that exists, with its policy.
#[derive(Debug)]
pub struct CachedKey {
    digest: KeyDigest,
    policy_id: u64,
    number: u64,
    slot: u32,
    secret: u32,
    expires_at: Option<i64>,
    disabled: bool,
    /// `key_…`
    key_id: Box<str>,
    name: Box<str>,
    /// The policy that the key shares with others.
    pub policy: Rc<Policy>,
    identity: OnceCell<Box<str>>,
}

impl CachedKey {
    /// Returns the key of a record, or `None` if its owner or account no longer exists: such a key
    /// is revoked, though its record is still there.
    pub fn from_live_record(record: &KeyRecord<'_>, policy: Rc<Policy>) -> Option<Self> {
        (!policy.ended).then(|| Self::new(record, policy))
    }

    fn new(record: &KeyRecord<'_>, policy: Rc<Policy>) -> Self {
        let KeyRecord {
            digest,
            policy: policy_id,
            number,
            slot,
            secret,
            expires_at,
            disabled,
            name,
            ..
        } = *record;

        let (key_id, name) = (record.key_id().into(), name.into());
        let identity = OnceCell::new();

        Self {
            digest,
            policy_id,
            number,
            slot,
            secret,
            expires_at,
            disabled,
            key_id,
            name,
            policy,
            identity,
        }
    }

    /// Returns the attributes that belong to the key and not to its policy.
    pub fn key(&self) -> KeyRecord<'_> {
        KeyRecord {
            digest: self.digest,
            policy: self.policy_id,
            number: self.number,
            slot: self.slot,
            secret: self.secret,
            expires_at: self.expires_at,
            disabled: self.disabled,
            id: self.key_id.strip_prefix(KEY_ID_PREFIX).unwrap_or_default(),
            name: &self.name,
        }
    }

    /// Returns the id as people and tools see it: `key_` and 12 characters.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns the SHA-256 of the secret.
    pub fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    /// Returns the identity header of requests that name no subaccount.
    pub fn identity(&self) -> &str {
        self.identity
            .get_or_init(|| identity::render(&self.key(), &self.policy.identity, None).into())
    }
}
