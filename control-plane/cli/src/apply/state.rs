//! The current state of the resources that the file describes.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::document::Document;
use crate::client::{Api, Tagged};
use crate::error::CommandError;
use crate::pages::{self, Pages};
use crate::query::Query;
use crate::text;

/// The number of names kept of resources that are not in the file.
const SAMPLE: usize = 10;

/// Resources of a kind that are not in the file.
#[derive(Debug, Default)]
pub(super) struct NameSample {
    pub(super) count: usize,
    /// The names of the first of these resources.
    pub(super) sample: Vec<String>,
}

impl NameSample {
    pub(super) fn add(&mut self, name: &str) {
        self.count = self.count.saturating_add(1);
        if self.sample.len() < SAMPLE {
            self.sample.push(name.to_owned());
        }
    }
}

/// Entity tags by the segments of their paths.
pub(super) type Tags = BTreeMap<Vec<String>, String>;

/// The current state, as returned by the API.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tiers: Vec<Value>,
    pub(super) services: Vec<Value>,
    pub(super) subaccounts: Vec<Value>,
    pub(super) users: Vec<Value>,
    /// The keys that the file names; all keys if keys are pruned. Expired keys can share the names
    /// of others.
    pub(super) keys: Vec<Value>,
    /// The keys that are not among `keys`.
    pub(super) other_keys: NameSample,
    pub(super) routes: Value,
    /// The caller, if users or keys are pruned.
    pub(super) caller: Value,
    /// Entity tags of the documents that are put as a whole, as they were read.
    pub(super) tags: Tags,
}

impl State {
    /// Reads only what the document needs. If users are pruned, their keys are read too, as these
    /// are revoked with them.
    pub(super) async fn read(
        api: &Api,
        document: &Document,
        prune: bool,
    ) -> Result<Self, CommandError> {
        let none = Query::default;
        let mut state = Self::default();
        if document.tiers.is_some() {
            state.tiers = text::entries(&state.document(api, "tiers").await?, "tiers").to_vec();
        }
        if document.services.is_some() {
            state.services = pages::all(api, &["services"], "services", none()).await?;
        }
        if document.is_about_subaccounts() {
            state.subaccounts =
                text::entries(&api.get(&["subaccounts"], &none()).await?, "subaccounts").to_vec();
        }
        if document.users.is_some() {
            state.users = pages::all(api, &["users"], "users", none()).await?;
        }
        if document.routes.is_some() {
            state.routes = state.document(api, "routes").await?;
        }
        if document.keys.is_some() || (prune && document.users.is_some()) {
            state.read_keys(api, document, prune).await?;
        }
        if prune && (document.users.is_some() || document.keys.is_some()) {
            state.caller = api.get(&["sessions", "current"], &none()).await?;
        }

        Ok(state)
    }

    /// Reads a document that is replaced as a whole, and stores its entity tag.
    async fn document(&mut self, api: &Api, name: &str) -> Result<Value, CommandError> {
        let Tagged { data, tag } = api.get_tagged(&[name]).await?;
        self.tags
            .extend(tag.map(|tag| (vec![name.to_owned()], tag)));
        Ok(data)
    }

    /// Reads the keys. For a key that is not in the file, only the fields for its removal are
    /// stored; without pruning, it is only counted, with its name as a sample.
    async fn read_keys(
        &mut self,
        api: &Api,
        document: &Document,
        prune: bool,
    ) -> Result<(), CommandError> {
        let named: BTreeSet<_> = document
            .keys
            .iter()
            .flatten()
            .map(|key| key.name.as_str())
            .collect();
        let query = Query::default().with("include", Some("ip_lists"));
        let mut pages = Pages::new(api, (&["keys"], "keys"), query);
        while let Some(keys) = pages.next().await? {
            for key in keys.into_iter().filter(|key| key["revoked_at"].is_null()) {
                if named.contains(text::field(&key, "name")) {
                    self.keys.push(key);
                } else if prune {
                    let kept = |field: &str| key[field].clone();
                    self.keys.push(json!({
                        "key_id": kept("key_id"), "name": kept("name"), "owner": kept("owner"),
                    }));
                } else {
                    self.other_keys.add(text::field(&key, "name"));
                }
            }
        }

        Ok(())
    }

    /// Returns whether the caller has this id in `field`, which is `user_id` or `key_id`.
    pub(super) fn is_caller(&self, field: &str, id: &str) -> bool {
        self.caller[field] == id
    }

    /// Returns the name of a subaccount, or its id if it no longer exists.
    pub(super) fn subaccount_name<'s>(&'s self, id: &'s str) -> &'s str {
        let found = self
            .subaccounts
            .iter()
            .find(|subaccount| text::field(subaccount, "subaccount_id") == id);
        found.map_or(id, |subaccount| text::field(subaccount, "name"))
    }
}

/// Returns the entry whose `field` is `name`.
pub(super) fn named<'v>(list: &'v [Value], field: &str, name: &str) -> Option<&'v Value> {
    list.iter().find(|entry| text::field(entry, field) == name)
}
