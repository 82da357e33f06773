//! The settings of a snapshot: the route rules, whether there are imported keys, and the owners
//! that no longer exist. They are one record, which every snapshot has.

mod codec;

use crate::route::{RouteRules, Routes};

/// The settings as the control plane sends them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsRecord {
    /// The route rules.
    pub routes: RouteRules,
    /// True if there are imported keys, which need not have the form of ours.
    pub imported: bool,
    ended_owners: Vec<String>,
}

impl SettingsRecord {
    /// Sets whether there are imported keys.
    #[must_use]
    pub fn with_imported(self, imported: bool) -> Self {
        Self { imported, ..self }
    }

    /// Sets the ids of the users and accounts that no longer exist although some of their keys are
    /// still in the snapshot.
    #[must_use]
    pub fn with_ended_owners(self, mut ended_owners: Vec<String>) -> Self {
        ended_owners.sort_unstable();
        ended_owners.dedup();
        Self {
            ended_owners,
            ..self
        }
    }

    /// The ids of users and accounts that were deleted or closed while they had too many keys to
    /// remove at once, in ascending order. Their keys count as revoked.
    pub fn ended_owners(&self) -> &[String] {
        &self.ended_owners
    }
}

/// Settings with these rules, without imported keys or ended owners.
impl From<RouteRules> for SettingsRecord {
    fn from(routes: RouteRules) -> Self {
        Self {
            routes,
            ..Self::default()
        }
    }
}

/// The settings, compiled for requests.
#[derive(Debug, Clone, Default)]
pub struct SnapshotSettings {
    /// The route rules.
    pub routes: Routes,
    /// True if there are imported keys, so that a key can have any form.
    pub imported: bool,
    /// The ids of these owners, in ascending order.
    ended_owners: Vec<Box<str>>,
}

impl SnapshotSettings {
    /// Compiles a record from the control plane.
    pub fn compile(record: &SettingsRecord) -> Self {
        Self {
            routes: Routes::compile(&record.routes),
            imported: record.imported,
            ended_owners: record
                .ended_owners
                .iter()
                .map(|id| id.as_str().into())
                .collect(),
        }
    }

    /// Returns whether the user or account of this id no longer exists, so that its keys count as
    /// revoked.
    pub fn is_ended(&self, id: &str) -> bool {
        self.ended_owners
            .binary_search_by(|ended| (**ended).cmp(id))
            .is_ok()
    }
}
