//! The file format of `latchkey apply`.

use jiff::Timestamp;
use latchkey_model::authority::Grant;
use latchkey_model::ip_list::IpList;
use latchkey_model::json::{self, given};
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::role::Role;
use latchkey_model::route_document::RouteDocument;
use latchkey_model::selection::Selection;
use latchkey_model::text::{normalized_email, normalized_name};
use latchkey_model::tier::Tier;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::text::plain;

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

/// A time in Unix seconds, parsed from a number or RFC 3339. Spans are refused, so that the file
/// means the same when it is applied later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Second(pub(super) i64);

impl<'de> Deserialize<'de> for Second {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecondVisitor)
    }
}

struct SecondVisitor;

impl Visitor<'_> for SecondVisitor {
    type Value = Second;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as RFC 3339 or in whole Unix seconds")
    }

    fn visit_i64<E: de::Error>(self, second: i64) -> Result<Second, E> {
        Ok(Second(second))
    }

    fn visit_u64<E: de::Error>(self, second: u64) -> Result<Second, E> {
        i64::try_from(second)
            .map(Second)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(second), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Second, E> {
        let time: Result<Timestamp, _> = text.parse();
        time.map(|time| Second(time.as_second()))
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
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

    /// Returns the document with names and rules normalized like the API's, or all its faults.
    pub(super) fn check(mut self) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        names(
            "tiers",
            "name",
            self.tiers.iter_mut().flatten().map(|tier| &mut tier.name),
            &mut errors,
        );
        names(
            "services",
            "name",
            self.services
                .iter_mut()
                .flatten()
                .map(|service| &mut service.name),
            &mut errors,
        );
        let subaccounts = self
            .subaccounts
            .iter_mut()
            .flatten()
            .map(|subaccount| &mut subaccount.name);
        names("subaccounts", "name", subaccounts, &mut errors);
        let normalize = |user: &mut User| user.email = normalized_email(&user.email);
        self.users.iter_mut().flatten().for_each(normalize);
        names(
            "users",
            "email",
            self.users.iter_mut().flatten().map(|user| &mut user.email),
            &mut errors,
        );
        names(
            "keys",
            "name",
            self.keys.iter_mut().flatten().map(|key| &mut key.name),
            &mut errors,
        );
        let mut files = BTreeSet::new();
        for (index, file) in self
            .keys
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, key)| Some((index, key.save.as_ref()?)))
        {
            if !files.insert(normalised(file)) {
                errors.push(format!(
                    "keys[{index}].save: is also the file of another key"
                ));
            }
        }
        if let Some(routes) = self.routes.take() {
            match canonical(&routes) {
                Ok(routes) => self.routes = Some(routes),
                Err(faults) => errors.extend(faults),
            }
        }
        if errors.is_empty() {
            Ok(self)
        } else {
            Err(errors)
        }
    }
}

/// Normalizes a path: `./ci.pak` and `keys/../ci.pak` are `ci.pak`.
fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match (component, out.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                out.pop();
            }
            _ => out.push(component),
        }
    }
    out
}

/// Trims the names and refuses empty and duplicate ones.
fn names<'a>(
    section: &str,
    field: &str,
    names: impl Iterator<Item = &'a mut String>,
    errors: &mut Vec<String>,
) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        *name = normalized_name(name);
        if name.is_empty() {
            errors.push(format!("{section}[{index}].{field}: must not be empty"));
        } else if !seen.insert(name.clone()) {
            errors.push(format!(
                "{section}[{index}].{field}: {} appears twice",
                plain(name)
            ));
        }
    }
}

/// Returns the route rules as the API would return them, by the API's own code.
pub(super) fn canonical(routes: &Value) -> Result<Value, Vec<String>> {
    let told = |fault: json::Fault| {
        let place = fault
            .field
            .map_or_else(|| "routes".to_owned(), |field| format!("routes.{field}"));
        plain(&format!("{place}: {}", fault.reason))
    };
    let document: RouteDocument =
        json::read(routes.to_string().as_bytes()).map_err(|fault| vec![told(fault)])?;
    let rules = document
        .check()
        .map_err(|faults| faults.into_iter().map(told).collect::<Vec<_>>())?;
    let shown =
        RouteDocument::try_from(&rules).and_then(|document| serde_json::to_value(&document));
    shown.map_err(|error| vec![format!("routes: {error}")])
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
    fn what_is_wrong_is_told_with_its_place() {
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

    #[test]
    fn a_file_for_a_secret_is_the_same_however_it_is_written() {
        for (path, same) in [
            ("./ci.pak", "ci.pak"),
            ("keys/.././/ci.pak", "ci.pak"),
            ("../../ci.pak", "../../ci.pak"),
            ("/../a/../ci.pak", "/ci.pak"),
            ("../a/../ci.pak", "../ci.pak"),
        ] {
            assert_eq!(normalised(Path::new(path)), Path::new(same), "{path}");
        }
        let text = "keys: [{name: a, save: ci.pak}, {name: b, save: ./x/../ci.pak}]";
        let errors = parse::<Document>(text).unwrap().check().unwrap_err();
        assert_eq!(errors, ["keys[1].save: is also the file of another key"]);
    }

    #[test]
    fn all_that_is_wrong_with_the_whole_is_told_at_once() {
        let text = "subaccounts: [{name: ' '}]\n\
                    keys: [{name: CI, save: a}, {name: ' CI', save: a}]\n\
                    routes: {rules: [{path: {prefix: v4}}, {path: {exact: /a}, colour: 1}]}\n";
        let errors = parse::<Document>(text).unwrap().check().unwrap_err();
        let expected = [
            "subaccounts[0].name: must not be empty",
            "keys[1].name: CI appears twice",
            "keys[1].save: is also the file of another key",
        ];
        assert_eq!(errors[..3], expected);
        assert!(errors[3].starts_with("routes.rules[1].path"), "{errors:?}");
        assert!(
            errors[4].starts_with("routes.rules[2].colour: is unknown"),
            "{errors:?}"
        );
    }
}
