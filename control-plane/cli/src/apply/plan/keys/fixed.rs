//! Compares the attributes of a key that cannot be edited.

use latchkey_model::selection::Selection;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::apply::document::Key;
use crate::apply::plan::compare::sorted;
use crate::apply::state::State;

/// Returns why the existing key cannot be changed to match the file.
pub(super) fn difference(key: &Key, existing: &Value, state: &State) -> Option<String> {
    let names = differing(key, existing, state);
    if names.is_empty() {
        return None;
    }

    let verb = if names.len() == 1 {
        "differs"
    } else {
        "differ"
    };
    Some(format!(
        "{} {verb}, which cannot be edited: revoke the key and create another one",
        names.join(", ")
    ))
}

/// Returns the names of the attributes that differ, of those that the file gives.
fn differing(key: &Key, existing: &Value, state: &State) -> Vec<&'static str> {
    let text = |field: &str| existing[field].as_str();
    let list = |field: &str| sorted(&existing[field]);

    let environment = key.environment.as_deref().map(Some);
    let tier = key.tier.as_deref().map(Some);
    let scope = key.scope.as_ref().map(|scope| Some(scope.canonical()));
    let roles = key.roles.as_ref().map(|roles| sorted(&json!(roles)));
    let permissions = key.permissions.as_ref();
    let permissions = permissions.map(|permissions| sorted(&json!(permissions)));
    let subaccounts = key.subaccounts.as_ref();
    let subaccounts = subaccounts.map(|names| names.iter().map(String::as_str).collect());

    let attributes = [
        ("environment", differs(environment, text("environment"))),
        ("tier", differs(tier, text("tier"))),
        ("scope", differs(scope, existing_scope(existing))),
        ("roles", differs(roles, list("roles"))),
        ("permissions", differs(permissions, list("permissions"))),
        (
            "subaccounts",
            differs(subaccounts, existing_subaccounts(existing, state)),
        ),
    ];
    let differing = attributes.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(field, _)| field).collect()
}

/// Returns whether a value is wanted that differs from the existing one.
fn differs<T: PartialEq>(wanted: Option<T>, existing: T) -> bool {
    wanted.is_some_and(|wanted| wanted != existing)
}

fn existing_scope(key: &Value) -> Option<Selection> {
    let scope: Selection = serde_json::from_value(key["scope"].clone()).ok()?;
    Some(scope.canonical())
}

/// Returns the names of the existing key's subaccounts.
fn existing_subaccounts<'v>(key: &'v Value, state: &'v State) -> BTreeSet<&'v str> {
    let ids = key["allowed_subaccounts"].as_array();
    let ids = ids.into_iter().flatten().filter_map(Value::as_str);
    ids.map(|id| state.subaccount_name(id)).collect()
}
