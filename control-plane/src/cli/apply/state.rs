//! What there is, as far as a file is about it.

use serde_json::Value;

use super::document::Document;
use crate::cli::client::Api;
use crate::cli::error::CommandError;
use crate::cli::query::Query;
use crate::cli::{pages, text};

/// As the API shows it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tiers: Vec<Value>,
    pub(super) services: Vec<Value>,
    pub(super) subaccounts: Vec<Value>,
    pub(super) users: Vec<Value>,
    pub(super) keys: Vec<Value>,
    pub(super) routes: Value,
    /// Who applies the file, where users or keys are pruned.
    pub(super) caller: Value,
}

impl State {
    /// Asks for nothing that the document is not about. With users that are pruned go their keys.
    pub(super) async fn read(api: &Api, document: &Document, prune: bool) -> Result<Self, CommandError> {
        let none = Query::default;
        let mut state = Self::default();
        if document.tiers.is_some() {
            state.tiers = text::entries(&api.get(&["tiers"], &none()).await?, "tiers").to_vec();
        }
        if document.services.is_some() {
            state.services = pages::all(api, &["services"], "services", none()).await?;
        }
        if document.is_about_subaccounts() {
            state.subaccounts = text::entries(&api.get(&["subaccounts"], &none()).await?, "subaccounts").to_vec();
        }
        if document.users.is_some() {
            state.users = pages::all(api, &["users"], "users", none()).await?;
        }
        if document.routes.is_some() {
            state.routes = api.get(&["routes"], &none()).await?;
        }
        if document.keys.is_some() || (prune && document.users.is_some()) {
            let with_ip_lists = none().with("include", Some("ip_lists"));
            state.keys = pages::all(api, &["keys"], "keys", with_ip_lists).await?;
            state.keys.retain(|key| key["revoked_at"].is_null());
        }
        if prune && (document.users.is_some() || document.keys.is_some()) {
            state.caller = api.get(&["sessions", "current"], &none()).await?;
        }
        Ok(state)
    }

    /// Whether the caller has this id in `field`, which is `user_id` or `key_id`.
    pub(super) fn is_caller(&self, field: &str, id: &str) -> bool {
        self.caller[field] == id
    }

    /// What the subaccount with this id is called. One that is gone keeps its id for a name.
    pub(super) fn subaccount_name<'s>(&'s self, id: &'s str) -> &'s str {
        let found = self.subaccounts.iter().find(|subaccount| text::field(subaccount, "subaccount_id") == id);
        found.map_or(id, |subaccount| text::field(subaccount, "name"))
    }
}

/// The one of that name.
pub(super) fn named<'v>(list: &'v [Value], field: &str, name: &str) -> Option<&'v Value> {
    list.iter().find(|entry| text::field(entry, field) == name)
}
