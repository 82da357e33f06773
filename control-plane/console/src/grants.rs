//! Roles, permissions and subaccounts that the logged-in user can grant to users and keys.

use latchkey_model::selection::Selection;
use serde::Deserialize;
use std::collections::BTreeSet;

use crate::api::{Refusal, with_query};
use crate::session::Session;

/// The maximum number of subaccounts of an account.
const ALL_SUBACCOUNTS: &str = "1000";

/// A predefined role and its permissions.
#[derive(Deserialize)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) permissions: Vec<String>,
}

/// The permissions, roles and subaccounts that the logged-in user may grant.
#[derive(Default, Deserialize)]
pub(super) struct Grantable {
    pub(super) permissions: BTreeSet<String>,
    pub(super) patterns: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) subaccounts: Selection,
}

/// A subaccount. Its name is its id if the user may not list subaccounts.
#[derive(Deserialize)]
pub(super) struct Subaccount {
    pub(super) subaccount_id: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
struct RoleList {
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct SubaccountList {
    subaccounts: Vec<Subaccount>,
}

/// Returns all predefined roles.
pub(super) async fn roles(session: &Session) -> Result<Vec<Role>, Refusal> {
    let RoleList { roles } = session.api.get("/v1/roles").await?;
    Ok(roles)
}

/// Returns the permissions, roles and subaccounts that the logged-in user may grant.
pub(super) async fn grantable(session: &Session) -> Result<Grantable, Refusal> {
    session.api.get("/v1/keys/allowed-permissions").await
}

/// Returns whether the user may list the subaccounts.
pub(super) fn lists_subaccounts(session: &Session) -> bool {
    session.user.may("account:subaccounts:read")
}

/// Returns all subaccounts, or those that the user may act on if they may not list them.
pub(super) async fn subaccounts(
    session: &Session,
    grantable: &Grantable,
) -> Result<Vec<Subaccount>, Refusal> {
    if lists_subaccounts(session) {
        let call = with_query("/v1/subaccounts", &[("limit", ALL_SUBACCOUNTS)]);
        let SubaccountList { subaccounts } = session.api.get(&call).await?;
        return Ok(subaccounts);
    }

    let own = grantable.subaccounts.listed().unwrap_or_default().iter();
    Ok(own
        .map(|id| Subaccount {
            subaccount_id: id.clone(),
            name: id.clone(),
        })
        .collect())
}

impl Role {
    /// Returns a description of the role.
    pub(super) fn meaning(&self) -> &'static str {
        match self.name.as_str() {
            "admin" => "Full access to everything.",
            "read_only_admin" => "Read access to everything.",
            "billing_manager" => "View and change billing.",
            "cache_purger" => "Purge caches.",
            "dns_manager" => "Create, modify and delete DNS records.",
            "security_manager" => "View and change security settings.",
            "traffic_manager" => "View and change traffic settings.",
            "insights_analyst" => "Read analytics.",
            _ => "",
        }
    }
}
