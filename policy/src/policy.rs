//! A policy as requests use it: decoded and compiled once for each snapshot.

use crate::address::AddressRule;
use crate::identity::Shared;
use crate::limit::Limits;
use crate::permission::{Pattern, Permission};
use crate::record::PolicyRecord;
use crate::settings::SnapshotSettings;
use std::cmp::Ordering;

/// The attributes that keys share. Services and permissions are those of the route rules that the
/// policy was compiled for, by their index there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The owner or the account no longer exists: the keys count as revoked.
    pub ended: bool,
    /// The owner is disabled.
    pub owner_disabled: bool,
    /// The whole account is disabled.
    pub account_disabled: bool,
    /// The addresses from which requests may come.
    pub addresses: AddressRule,
    /// One flag per service: true if the keys may be used for it. `None` is all services.
    in_scope: Option<Box<[bool]>>,
    /// The holders of each permission.
    held: Box<[Held]>,
    /// The ids of the subaccounts, in ascending order.
    subaccounts: Box<[Box<str>]>,
    /// True if a request has to name one of the subaccounts where a rule looks for it.
    pub confined: bool,
    /// The limits of each of the keys.
    pub limits: Limits,
    /// The policy's part of the identity header.
    pub identity: Shared,
}

/// The holders of a permission; a request needs both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// The key's roles, or the key itself.
    pub by_key: bool,
    /// The key's owner.
    pub by_owner: bool,
}

impl Policy {
    /// Compiles a record from the control plane.
    pub fn compile(record: &PolicyRecord, settings: &SnapshotSettings) -> Self {
        let routes = &settings.routes;
        let in_scope = record.services.as_ref().map(|scope| {
            routes
                .services()
                .iter()
                .map(|service| scope.iter().any(|name| **name == **service))
                .collect()
        });

        let gives = |patterns: &[Pattern], permission: &Permission| {
            patterns.iter().any(|p| p.matches(permission))
        };
        let held = |permission: &Permission| Held {
            by_key: gives(&record.grants, permission),
            by_owner: gives(&record.owner_grants, permission),
        };
        let mut subaccounts: Box<[Box<str>]> = record
            .subaccounts
            .iter()
            .map(|id| id.as_str().into())
            .collect();
        subaccounts.sort_unstable();

        Self {
            ended: settings.is_ended(&record.user) || settings.is_ended(&record.account),
            owner_disabled: record.owner_disabled,
            account_disabled: record.account_disabled,
            addresses: AddressRule::compile(&record.addresses),
            in_scope,
            held: routes.permissions().iter().map(held).collect(),
            subaccounts,
            confined: record.confined,
            limits: record.limits,
            identity: Shared::render(record),
        }
    }

    /// Returns whether the keys may be used for a service of the route rules.
    pub fn is_in_scope(&self, service: usize) -> bool {
        self.in_scope
            .as_ref()
            .is_none_or(|scope| scope.get(service).copied().unwrap_or(false))
    }

    /// Returns the holders of a permission of the route rules.
    pub fn held(&self, permission: usize) -> Held {
        self.held.get(permission).copied().unwrap_or_default()
    }

    /// Returns the index of the subaccount for which `compare` returns `Equal`. `compare` orders it
    /// relative to the one that is looked for.
    pub fn find_subaccount(&self, compare: impl Fn(&str) -> Ordering) -> Option<usize> {
        self.subaccounts.binary_search_by(|id| compare(id)).ok()
    }

    /// Returns a subaccount that was [found](Self::find_subaccount).
    pub fn subaccount(&self, index: usize) -> Option<&str> {
        self.subaccounts.get(index).map(|id| &**id)
    }

    /// Returns the policy's size: the number of entries of all lists.
    pub fn size(&self) -> usize {
        let scope = self.in_scope.as_ref().map_or(0, |services| services.len());
        [
            self.addresses.len(),
            self.subaccounts.len(),
            self.held.len(),
            scope,
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }
}
