//! A batch from the control plane, and the reasons for which it is not applied.

use crate::key::KeyDigest;
use crate::record::{Damaged, KeyRecord, Kind, PolicyRecord, Records};
use crate::settings::SettingsRecord;
use crate::snapshot::Tag;
use crate::table::WriteError;

/// The length of a policy's id.
pub(super) const POLICY_ID_LEN: usize = Kind::Policy.id_len();

/// Part of a snapshot, or of the changes to one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batch<'a> {
    /// The record of the route rules, if they have changed.
    pub routes: &'a [u8],
    /// Policy records.
    pub policies: &'a [u8],
    /// Key records.
    pub keys: &'a [u8],
    /// The digests of keys that no longer exist.
    pub removed_keys: &'a [u8],
    /// The ids of policies that no key has any longer.
    pub removed_policies: &'a [u8],
    /// The revision that is complete with this batch, if any.
    pub revision: Option<u64>,
    /// The tag of that revision.
    pub tag: Tag,
}

impl Batch<'_> {
    /// Checks that all of the batch is valid, before any of it is applied.
    pub(super) fn verify(&self) -> Result<(), Damaged> {
        for record in Records::new(Kind::Routes, self.routes) {
            SettingsRecord::decode(record?.1)?;
        }

        for record in Records::new(Kind::Policy, self.policies) {
            PolicyRecord::decode(record?.1)?;
        }

        for record in Records::new(Kind::Key, self.keys) {
            KeyRecord::decode(record?.1)?;
        }

        let keys = self.removed_keys.as_chunks::<{ KeyDigest::LEN }>().1;
        let policies = self.removed_policies.as_chunks::<POLICY_ID_LEN>().1;

        if keys.is_empty() && policies.is_empty() {
            Ok(())
        } else {
            Err(Damaged)
        }
    }
}

/// The reason why a batch was not applied, or not completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The batch is invalid; nothing was changed.
    #[error("the batch is damaged")]
    Invalid,
    /// Memory rejected a change.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<Damaged> for ApplyError {
    fn from(_: Damaged) -> Self {
        Self::Invalid
    }
}
