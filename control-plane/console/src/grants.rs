//! What can be given to users and keys: roles, permissions and subaccounts, as far as who is logged
//! in has them.

use latchkey_model::selection::Selection;
use serde::Deserialize;
use std::collections::BTreeSet;

use super::api::{Refusal, with_query};
use super::session::Session;

/// An account has no more.
const ALL_SUBACCOUNTS: &str = "1000";

/// A predefined role, and what it gives.
#[derive(Deserialize)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) permissions: Vec<String>,
}

/// What who is logged in may give.
#[derive(Default, Deserialize)]
pub(super) struct Grantable {
    pub(super) permissions: BTreeSet<String>,
    pub(super) patterns: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) subaccounts: Selection,
}

/// A part of the account, by its name, or by its id where that is not known.
#[derive(Deserialize)]
pub(super) struct Subaccount {
    pub(super) subaccount_id: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
struct Roles {
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct Subaccounts {
    subaccounts: Vec<Subaccount>,
}

/// All predefined roles.
pub(super) async fn roles(session: &Session) -> Result<Vec<Role>, Refusal> {
    let Roles { roles } = session.api.get("/v1/roles").await?;
    Ok(roles)
}

/// What can be given.
pub(super) async fn grantable(session: &Session) -> Result<Grantable, Refusal> {
    session.api.get("/v1/keys/allowed-permissions").await
}

/// Whether one may see which subaccounts there are.
pub(super) fn lists_subaccounts(session: &Session) -> bool {
    session.me.may("account:subaccounts:read")
}

/// The subaccounts that there are; of those that one may not list, the ones that one may act on.
pub(super) async fn subaccounts(
    session: &Session,
    grantable: &Grantable,
) -> Result<Vec<Subaccount>, Refusal> {
    if lists_subaccounts(session) {
        let call = with_query("/v1/subaccounts", &[("limit", ALL_SUBACCOUNTS)]);
        let Subaccounts { subaccounts } = session.api.get(&call).await?;
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
