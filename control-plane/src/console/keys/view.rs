//! What the API says of keys, as far as pages show it.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::super::widgets::badge;
use crate::issues::Issues;
use crate::selection::Selection;

/// A key.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::console) struct Key {
    pub(in crate::console) key_id: String,
    pub(in crate::console) name: String,
    pub(in crate::console) description: Option<String>,
    pub(in crate::console) key_prefix: String,
    pub(in crate::console) secrets: Vec<Secret>,
    pub(in crate::console) environment: String,
    pub(in crate::console) tier: String,
    pub(in crate::console) limits: BTreeMap<String, u32>,
    pub(in crate::console) scope: Selection,
    pub(in crate::console) roles: Vec<String>,
    pub(in crate::console) permissions: Vec<String>,
    pub(in crate::console) allowed_subaccounts: Vec<String>,
    /// Empty in lists, which leave it out.
    #[serde(default)]
    pub(in crate::console) allowed_ips: Vec<IpEntry>,
    /// Empty in lists, which leave it out.
    #[serde(default)]
    pub(in crate::console) denied_ips: Vec<IpEntry>,
    pub(in crate::console) issues: Option<Issues>,
    pub(in crate::console) expires_at: Option<String>,
    pub(in crate::console) owner: String,
    pub(in crate::console) disabled: bool,
    pub(in crate::console) created_at: String,
    pub(in crate::console) updated_at: String,
    pub(in crate::console) last_used_at: Option<String>,
    pub(in crate::console) last_used_ip: Option<String>,
    pub(in crate::console) revoked_at: Option<String>,
}

/// One of a key's secrets.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::console) struct Secret {
    pub(in crate::console) key_prefix: String,
    pub(in crate::console) created_at: String,
    pub(in crate::console) ends_at: Option<String>,
    pub(in crate::console) last_used_at: Option<String>,
    pub(in crate::console) last_used_ip: Option<String>,
}

/// An entry of an IP list.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(in crate::console) struct IpEntry {
    pub(in crate::console) cidr: String,
    pub(in crate::console) enabled: bool,
}

impl Key {
    /// What it is at `now`, in Unix seconds, in a word or two.
    pub(in crate::console) fn state(&self, now: i64) -> Markup {
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

    /// Whether it is past its expiry at `now`, in Unix seconds.
    pub(in crate::console) fn has_expired(&self, now: i64) -> bool {
        let end = self
            .expires_at
            .as_deref()
            .and_then(|end| end.parse::<jiff::Timestamp>().ok());
        end.is_some_and(|end| end.as_second() <= now)
    }

    /// Their names.
    pub(in crate::console) fn roles(&self) -> Markup {
        html! { @if self.roles.is_empty() { span .faint { "none" } } @else { (self.roles.join(", ")) } }
    }

    /// The services that it is good for.
    pub(in crate::console) fn scope(&self) -> Markup {
        match self.scope.listed() {
            None => html! { "all services" },
            Some([]) => html! { span .faint { "no service" } },
            Some(services) => html! { (services.join(", ")) },
        }
    }

    pub(in crate::console) fn path(&self) -> String {
        format!("/console/keys/{}", self.key_id)
    }
}
