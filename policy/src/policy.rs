//! A policy as requests use it: decoded and compiled once for each snapshot.

use crate::address::AddressRule;
use crate::identity::Shared;
use crate::record::PolicyRecord;

/// What keys share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The owner or the account is.
    pub disabled: bool,
    /// From where requests may come.
    pub addresses: AddressRule,
    /// Its part of the identity header.
    pub identity: Shared,
}

impl Policy {
    /// Compiles what came from the control plane.
    pub fn compile(record: &PolicyRecord) -> Self {
        Self {
            disabled: record.owner_disabled || record.account_disabled,
            addresses: AddressRule::compile(&record.addresses),
            identity: Shared::render(record),
        }
    }
}
