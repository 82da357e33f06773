//! The API's fields of keys that pages show.

use latchkey_model::issues::Issues;
use latchkey_model::selection::Selection;
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::ip_rows::IpEntry;
use crate::widgets::badge;

/// A key.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Key {
    pub(crate) key_id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) key_prefix: String,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) environment: String,
    pub(crate) tier: String,
    pub(crate) limits: BTreeMap<String, u32>,
    pub(crate) scope: Selection,
    pub(crate) roles: Vec<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) allowed_subaccounts: Vec<String>,
    /// Empty in lists, which leave it out.
    #[serde(default)]
    pub(crate) allowed_ips: Vec<IpEntry>,
    /// Empty in lists, which leave it out.
    #[serde(default)]
    pub(crate) denied_ips: Vec<IpEntry>,
    pub(crate) issues: Option<Issues>,
    pub(crate) expires_at: Option<String>,
    pub(crate) owner: String,
    pub(crate) disabled: bool,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) last_used_at: Option<String>,
    pub(crate) last_used_ip: Option<String>,
    pub(crate) revoked_at: Option<String>,
}

/// One of a key's secrets.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Secret {
    pub(crate) key_prefix: String,
    pub(crate) created_at: String,
    pub(crate) ends_at: Option<String>,
    pub(crate) last_used_at: Option<String>,
    pub(crate) last_used_ip: Option<String>,
}

impl Key {
    /// Renders the key's state at `now`, in Unix seconds, as one or two badges.
    pub(crate) fn state(&self, now: i64) -> Markup {
        let expired = self.has_expired(now);
        html! {
            @if self.revoked_at.is_some() { (badge("bad", "revoked")) }
            @else if !expired && !self.disabled { (badge("good", "active")) }
            @else {
                @if expired { (badge("bad", "expired")) " " }
                @if self.disabled { (badge("warn", "disabled")) }
            }
        }
    }

    /// Returns whether the key is past its expiry at `now`, in Unix seconds.
    pub(crate) fn has_expired(&self, now: i64) -> bool {
        let end = self
            .expires_at
            .as_deref()
            .and_then(|end| end.parse::<jiff::Timestamp>().ok());
        end.is_some_and(|end| end.as_second() <= now)
    }

    /// Renders the names of the key's roles.
    pub(crate) fn roles(&self) -> Markup {
        html! { @if self.roles.is_empty() { span .faint { "none" } } @else { (self.roles.join(", ")) } }
    }

    /// Renders the services in the key's scope.
    pub(crate) fn scope(&self) -> Markup {
        match self.scope.listed() {
            None => html! { "all services" },
            Some([]) => html! { span .faint { "no service" } },
            Some(services) => html! { (services.join(", ")) },
        }
    }

    /// Returns the path of the key's page.
    pub(crate) fn path(&self) -> String {
        format!("/console/keys/{}", self.key_id)
    }
}
