//! Plans changes of keys by name. Attributes that cannot be edited are only compared; others are
//! edited. An expired key does not hold its name: it stays as it is, and another key is created.

use latchkey_model::clock::rfc3339;
use latchkey_model::ip_list::IpList;
use latchkey_model::selection::Selection;
use latchkey_policy::limit::Window;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

use super::super::document::{Document, Key, Second};
use super::super::state::State;
use super::{Action, Call, Draft, Facts, Line, Removal, Sign, added, difference, sorted};
use crate::key::has_expired;
use crate::{moment, text};

const KIND: &str = super::KEYS;

/// The mark after a disabled range.
const OFF: &str = " (off)";

/// Plan results that key planning needs.
pub(super) struct Around<'a> {
    /// The names of the subaccounts after the plan.
    pub(super) subaccounts: &'a BTreeSet<&'a str>,
    /// The names of the tiers whose limits change.
    pub(super) changed_tiers: &'a BTreeSet<String>,
}

pub(super) fn plan(
    document: &Document,
    state: &State,
    facts: &Facts<'_>,
    around: &Around<'_>,
    draft: &mut Draft,
) {
    let Some(keys) = &document.keys else { return };
    for key in keys {
        let (expired, valid): (Vec<_>, Vec<_>) = state
            .keys
            .iter()
            .filter(|there_is| text::field(there_is, "name") == key.name)
            .partition(|there_is| has_expired(there_is, facts.now));
        let planned = match valid.first() {
            // The key is expired, as the file requires.
            None if !expired.is_empty() && key.is_to_be_expired(facts.now) => Ok(None),
            None => make(key, expired.first().copied(), facts, around).map(Some),
            Some(there_is) => match fixed(key, there_is, state) {
                Some(reason) => Err(reason),
                None => edit(key, there_is, facts, around),
            },
        };
        match planned {
            Ok(action) => draft.actions.extend(action),
            Err(reason) => draft.refuse(KIND, &key.name, reason),
        }
    }
    draft.leave(KIND, &state.other_keys);
    let wanted = keys.iter().map(|key| key.name.as_str()).collect();
    let removal = |key: &_| removal(key, state);
    draft.rest(
        KIND,
        "name",
        &state.keys,
        &wanted,
        if facts.prune { Some(&removal) } else { None },
    );
}

/// Plans the revocation of a key. Refuses to revoke the key that the file is applied with.
fn removal(key: &Value, state: &State) -> Result<Removal, String> {
    let id = text::field(key, "key_id");
    if state.is_caller("key_id", id) {
        return Err("the file is applied with this key, so it cannot be revoked".to_owned());
    }
    Ok(Call::new(Method::DELETE, ["keys", id], None).into())
}

fn make(
    key: &Key,
    expired: Option<&Value>,
    facts: &Facts<'_>,
    around: &Around<'_>,
) -> Result<Action, String> {
    let renewal = expired.map_or_else(String::new, |expired| {
        let id = text::of(&expired["key_id"]);
        format!(
            "; {id} of this name has expired; renew it with latchkey key edit {id} --expires TIME"
        )
    });
    let needed = || format!("a new key needs `save`, a file for its secret{renewal}");
    let save = key.save.clone().ok_or_else(needed)?;
    if (facts.is_there)(&save) {
        return Err(format!(
            "{} exists already and is not overwritten{renewal}",
            text::path(&save)
        ));
    }
    let directory = save.parent().unwrap_or(Path::new(""));
    if !(facts.is_directory)(directory) {
        return Err(format!(
            "there is no directory {} for {}",
            text::path(directory),
            text::path(&save)
        ));
    }
    let subaccounts = key.subaccounts.clone().unwrap_or_default();
    if let Some(unknown) = subaccounts
        .iter()
        .find(|name| !around.subaccounts.contains(name.as_str()))
    {
        return Err(format!(
            "the subaccount {} does not exist",
            text::plain(unknown)
        ));
    }
    let expiry = key.expires_at.flatten();
    in_the_future(expiry, facts)?;
    let fields = [
        ("name", json!(key.name)),
        (
            "description",
            json!(key.description.as_ref().and_then(Option::as_ref)),
        ),
        ("environment", json!(key.environment)),
        ("tier", json!(key.tier)),
        ("scope", json!(key.scope)),
        ("roles", json!(key.roles)),
        ("permissions", json!(key.permissions)),
        ("allowed_ips", json!(key.allowed_ips)),
        ("denied_ips", json!(key.denied_ips)),
        (
            "expires_at",
            json!(expiry.map(|Second(second)| rfc3339(second))),
        ),
        ("limits", json!(key.limits)),
    ];
    let body: Map<_, _> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(field, value)| (field.to_owned(), value))
        .collect();
    let call = Call::new(
        Method::POST,
        ["keys", "generate"],
        Some(Value::Object(body)),
    );
    let detail = expired.map_or_else(String::new, |expired| {
        format!(
            "{} of this name has expired and stays unchanged",
            text::of(&expired["key_id"])
        )
    });
    let mut action = Action::new(Line::new(Sign::Make, KIND, &key.name, detail), call);
    action.subaccounts = (!subaccounts.is_empty()).then_some(("allowed_subaccounts", subaccounts));
    action.then = (key.active == Some(false)).then(|| json!({ "active": false }));
    action.save = Some(save);
    Ok(action)
}

fn in_the_future(expiry: Option<Second>, facts: &Facts<'_>) -> Result<(), String> {
    match expiry {
        Some(Second(second)) if second <= facts.now => {
            Err("`expires_at` must be in the future".to_owned())
        }
        _ => Ok(()),
    }
}

/// Returns why the key cannot be changed to match the file.
fn fixed(key: &Key, there_is: &Value, state: &State) -> Option<String> {
    let scope = |value: &Value| {
        serde_json::from_value::<Selection>(value.clone())
            .ok()
            .map(|scope| scope.canonical())
    };
    let subaccounts = |ids: &Value| {
        let names = ids
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        names
            .map(|id| state.subaccount_name(id).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let differs = [
        (
            "environment",
            key.environment
                .as_ref()
                .is_some_and(|wanted| there_is["environment"] != json!(wanted)),
        ),
        (
            "tier",
            key.tier
                .as_ref()
                .is_some_and(|wanted| there_is["tier"] != json!(wanted)),
        ),
        (
            "scope",
            key.scope
                .as_ref()
                .is_some_and(|wanted| scope(&there_is["scope"]) != Some(wanted.canonical())),
        ),
        (
            "roles",
            key.roles
                .as_ref()
                .is_some_and(|wanted| sorted(&there_is["roles"]) != sorted(&json!(wanted))),
        ),
        (
            "permissions",
            key.permissions
                .as_ref()
                .is_some_and(|wanted| sorted(&there_is["permissions"]) != sorted(&json!(wanted))),
        ),
        (
            "subaccounts",
            key.subaccounts.as_ref().is_some_and(|wanted| {
                subaccounts(&there_is["allowed_subaccounts"]) != wanted.iter().cloned().collect()
            }),
        ),
    ];
    let names: Vec<_> = differs
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect();
    let verb = if names.len() == 1 {
        "differs"
    } else {
        "differ"
    };
    let reason = "which cannot be edited: revoke the key and create another one";
    (!names.is_empty()).then(|| format!("{} {verb}, {reason}", names.join(", ")))
}

fn edit(
    key: &Key,
    there_is: &Value,
    facts: &Facts<'_>,
    around: &Around<'_>,
) -> Result<Option<Action>, String> {
    let (mut body, mut details) = (Map::new(), Vec::new());
    let mut edit = |field: &str, detail: Option<String>, wanted: Value| {
        if let Some(detail) = detail {
            details.push(detail);
            body.insert(field.to_owned(), wanted);
        }
    };
    if let Some(wanted) = &key.description {
        edit(
            "description",
            difference("description", &there_is["description"], &json!(wanted)),
            json!(wanted),
        );
    }
    let expiry = moment::second(text::field(there_is, "expires_at"));
    if let Some(wanted) = key
        .expires_at
        .filter(|wanted| wanted.map(|Second(second)| second) != expiry)
    {
        in_the_future(wanted, facts)?;
        let wanted = json!(wanted.map(|Second(second)| rfc3339(second)));
        edit(
            "expires_at",
            difference("expires_at", &there_is["expires_at"], &wanted),
            wanted,
        );
    }
    for (field, wanted) in [
        ("allowed_ips", &key.allowed_ips),
        ("denied_ips", &key.denied_ips),
    ] {
        let Some(wanted) = wanted else { continue };
        edit(
            field,
            difference(field, &addresses(&there_is[field]), &shown(wanted)),
            json!(wanted),
        );
    }
    if let Some(wanted) = key.active {
        edit(
            "active",
            difference("active", &there_is["active"], &json!(wanted)),
            json!(wanted),
        );
    }
    let (changes, limits) = limits(key, there_is, around);
    if !changes.is_empty() {
        edit("limits", Some(changes.join(", ")), Value::Object(limits));
    }
    if details.is_empty() {
        return Ok(None);
    }
    let wider = wider(&body, there_is, expiry);
    let call = Call::new(
        Method::PATCH,
        ["keys", text::field(there_is, "key_id")],
        Some(Value::Object(body)),
    );
    let line = Line::new(Sign::Edit, KIND, &key.name, details.join(", ")).with_wider(wider);
    Ok(Some(Action::new(line, call)))
}

/// Returns the restrictions of the key that the edit loosens.
fn wider(body: &Map<String, Value>, there_is: &Value, expiry: Option<i64>) -> Vec<String> {
    let mut wider = Vec::new();
    let renewed = body
        .get("expires_at")
        .map(|wanted| wanted.as_str().and_then(moment::second));
    if renewed.is_some_and(|renewed| renewed.unwrap_or(i64::MAX) > expiry.unwrap_or(i64::MAX)) {
        wider.push("expires later".to_owned());
    }
    if body.get("active") == Some(&json!(true)) {
        wider.push("is enabled".to_owned());
    }
    let lists = |field: &str| {
        let before = addresses(&there_is[field]);
        let after = body.get(field).map_or_else(|| before.clone(), addresses);
        (before, after)
    };
    let (allowed, denied) = (lists("allowed_ips"), lists("denied_ips"));
    let is_on = |list: &Value| {
        list.as_array()
            .is_some_and(|list| list.iter().any(|entry| !is_off(entry)))
    };
    let narrower = added_ranges(&allowed.0, &allowed.1).is_empty()
        && (is_on(&allowed.1) || !is_on(&allowed.0));
    // Denied ranges have no effect if there is an allowed range.
    let denied_less = !is_on(&allowed.1) && !added_ranges(&denied.1, &denied.0).is_empty();
    let allowed_first = !is_on(&allowed.0) && is_on(&allowed.1);
    if (!narrower && !allowed_first) || denied_less || (allowed_first && is_on(&denied.0)) {
        wider.push("may be used from other addresses".to_owned());
    }
    if let Some(limits) = body.get("limits") {
        let mut after = there_is["limits"].clone();
        for (window, requests) in limits.as_object().into_iter().flatten() {
            after[window] = requests.clone();
        }
        wider.extend(super::tiers::raised(&there_is["limits"], &after));
    }
    wider
}

/// Returns the ranges that are enabled in `after` and not in `before`.
fn added_ranges(before: &Value, after: &Value) -> Vec<String> {
    added(before, after)
        .into_iter()
        .filter(|entry| !entry.ends_with(OFF))
        .collect()
}

fn is_off(entry: &Value) -> bool {
    entry.as_str().is_some_and(|entry| entry.ends_with(OFF))
}

/// Returns the limits to change. The API shows the limits in force, the key's own or its tier's: if
/// the tier's changes, the key's own limit is set even if it looks right.
fn limits(key: &Key, there_is: &Value, around: &Around<'_>) -> (Vec<String>, Map<String, Value>) {
    let (mut details, mut body) = (Vec::new(), Map::new());
    let tier_changes = around.changed_tiers.contains(text::field(there_is, "tier"));
    let wanted = key
        .limits
        .into_iter()
        .flat_map(|limits| Window::ALL.map(|window| (window, limits.0.get(window))));
    for (window, requests) in
        wanted.filter_map(|(window, requests)| Some((window.as_str(), requests?)))
    {
        let field = format!("limits.{window}");
        let detail = difference(&field, &there_is["limits"][window], &json!(requests));
        let detail = detail.or_else(|| {
            tier_changes.then(|| {
                format!(
                    "{field} {requests}, set on the key because the tier \
            changes"
                )
            })
        });
        if let Some(detail) = detail {
            details.push(detail);
            body.insert(window.to_owned(), json!(requests));
        }
    }
    (details, body)
}

/// Normalizes the order and spelling of addresses.
fn addresses(list: &Value) -> Value {
    let list: Option<IpList> = serde_json::from_value(list.clone()).ok();
    list.as_ref().map_or(Value::Null, shown)
}

fn shown(list: &IpList) -> Value {
    let list = json!(list);
    let entries = list.as_array().into_iter().flatten().map(|entry| {
        let cidr = text::field(entry, "cidr");
        json!(if entry["enabled"] == false {
            format!("{cidr}{OFF}")
        } else {
            cidr.to_owned()
        })
    });
    sorted(&Value::Array(entries.collect()))
}
