//! The file format of `latchkey apply`.

mod check;
mod second;

use latchkey_model::authority::Grant;
use latchkey_model::ip_list::IpList;
use latchkey_model::json::given;
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::role::Role;
use latchkey_model::selection::Selection;
use latchkey_model::tier::Tier;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

pub(super) use check::canonical;
pub(super) use second::Second;

/// The document. Omitted sections are not changed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) tiers: Option<Vec<Tier>>,
    pub(super) services: Option<Vec<Service>>,
    pub(super) subaccounts: Option<Vec<Subaccount>>,
    pub(super) users: Option<Vec<User>>,
    pub(super) keys: Option<Vec<Key>>,
    pub(super) routes: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: String,
    #[serde(default, deserialize_with = "given")]
    pub(super) description: Option<Option<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subaccount {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) email: String,
    pub(super) roles: Option<Vec<Role>>,
    pub(super) permissions: Option<Vec<Grant>>,
    /// The names of the subaccounts.
    pub(super) subaccounts: Option<Selection>,
    pub(super) disabled: Option<bool>,
    pub(super) password_env: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) name: String,
    #[serde(default, deserialize_with = "given")]
    pub(super) description: Option<Option<String>>,
    pub(super) environment: Option<String>,
    pub(super) tier: Option<String>,
    pub(super) scope: Option<Selection>,
    pub(super) roles: Option<Vec<Role>>,
    pub(super) permissions: Option<Vec<Grant>>,
    /// The names of the subaccounts.
    pub(super) subaccounts: Option<Vec<String>>,
    pub(super) allowed_ips: Option<IpList>,
    pub(super) denied_ips: Option<IpList>,
    #[serde(default, deserialize_with = "given")]
    pub(super) expires_at: Option<Option<Second>>,
    pub(super) limits: Option<DeclaredLimits>,
    pub(super) active: Option<bool>,
    pub(super) save: Option<PathBuf>,
}

impl Key {
    /// Returns whether the file's expiry of the key is at or before `now`, in Unix seconds.
    pub(super) fn is_to_be_expired(&self, now: i64) -> bool {
        matches!(self.expires_at, Some(Some(Second(second))) if second <= now)
    }
}

impl Document {
    /// Returns whether the document contains or names a subaccount.
    pub(super) fn is_about_subaccounts(&self) -> bool {
        self.subaccounts.is_some()
            || self
                .users
                .iter()
                .flatten()
                .any(|user| user.subaccounts.is_some())
            || self
                .keys
                .iter()
                .flatten()
                .any(|key| key.subaccounts.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse;

    #[test]
    fn a_whole_file_is_read() {
        let text = r#"
tiers: [{name: free, limits: {minute: 10}}]
services: [{name: dns, description: DNS}]
subaccounts: [{name: dev}]
users:
- {email: " A@b.c ", roles: [dns_manager], permissions: ["cache:purge"], subaccounts: all, password_env: PASSWORD}
- {email: b@b.c, subaccounts: [dev], disabled: true}
keys:
- name: CI
  description: null
  scope: [dns]
  subaccounts: [dev]
  allowed_ips: [10.0.0.0/8, {cidr: "::1", enabled: false}]
  expires_at: 2030-01-01T00:00:00Z
  limits: {minute: 100}
  active: true
  save: ci.pak
- {name: CD, expires_at: 1900000000}
routes: {rules: [{path: {prefix: /v4/}, permission: "dns:read"}], unmatched: deny}
"#;
        let document: Document = parse(text).unwrap();
        let document = document.check().unwrap();
        let (users, keys) = (document.users.unwrap(), document.keys.unwrap());
        assert_eq!(users[0].email, "a@b.c");
        assert_eq!(keys[0].description, Some(None));
        assert_eq!(keys[0].expires_at, Some(Some(Second(1_893_456_000))));
        assert_eq!(keys[1].expires_at, Some(Some(Second(1_900_000_000))));
        assert_eq!(keys[1].description, None);
        assert_eq!(document.routes.unwrap()["unmatched"], "deny");
    }

    #[test]
    fn invalid_document_is_reported_with_paths() {
        for (text, places) in [
            (
                "keys:\n- name: CI\n  colour: red\n",
                ["keys[0]", "colour", "line 3"],
            ),
            (
                "keys:\n- name: CI\n  roles: [king]\n",
                ["keys[0].roles[0]", "must be one of admin", "line 3"],
            ),
            (
                "keys:\n- name: CI\n  allowed_ips: [10.0.0.1/8]\n",
                ["keys[0].allowed_ips", "has bits set", "line 3"],
            ),
            (
                "keys:\n- {name: CI, limits: {minute: 0}}\n",
                ["keys[0].limits.minute", "whole number from 1", "line 2"],
            ),
            (
                "keys:\n- {name: CI, expires_at: 30d}\n",
                ["keys[0].expires_at", "RFC 3339", "line 2"],
            ),
            (
                "users:\n- {email: a@b.c, password: hunter2}\n",
                ["users[0]", "password", "line 2"],
            ),
            (
                "tiers: [{name: free, limits: [1]}]",
                ["tiers[0].limits", "mapping", "line 1"],
            ),
        ] {
            let error = parse::<Document>(text).unwrap_err();
            assert!(places.iter().all(|place| error.contains(place)), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
