//! Plans the creation of a key.

use latchkey_model::clock::rfc3339;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

use super::{KIND, PlanContext, ensure_in_future};
use crate::apply::document::{Key, Second};
use crate::apply::plan::{Action, Call, ChangeKind, PlanInputs, PlanLine};
use crate::text;

/// Plans the creation of a key, or returns why it cannot be created. `expired` is an expired key of
/// the same name.
pub(super) fn plan(
    key: &Key,
    expired: Option<&Value>,
    context: &PlanContext<'_>,
) -> Result<Action, String> {
    let expired = expired.map(|key| text::inline(&key["key_id"]));
    let save = ensure_can_save(key, expired.as_deref(), context.inputs)?;
    let subaccounts = key.subaccounts.clone().unwrap_or_default();
    let is_unknown = |name: &&String| !context.subaccounts.contains(name.as_str());
    if let Some(unknown) = subaccounts.iter().find(is_unknown) {
        return Err(format!(
            "the subaccount {} does not exist",
            text::plain(unknown)
        ));
    }

    ensure_in_future(key.expires_at.flatten(), context.inputs)?;

    let detail = expired.map_or_else(String::new, |id| {
        format!("{id} of this name has expired and stays unchanged")
    });
    let line = PlanLine::new(ChangeKind::Create, KIND, &key.name, detail);
    let call = Call::new(Method::POST, ["keys", "generate"], Some(body(key)));
    let mut action = Action::new(line, call);
    action.subaccounts = (!subaccounts.is_empty()).then_some(("allowed_subaccounts", subaccounts));
    action.then = (key.active == Some(false)).then(|| json!({ "active": false }));
    action.save = Some(save);

    Ok(action)
}

/// Returns the file for the secret, which must be given and be new, in an existing directory.
/// `expired` is the id of an expired key of the same name.
fn ensure_can_save(
    key: &Key,
    expired: Option<&str>,
    inputs: &PlanInputs<'_>,
) -> Result<PathBuf, String> {
    let renewal = expired.map_or_else(String::new, |id| {
        format!(
            "; {id} of this name has expired; renew it with latchkey key edit {id} --expires TIME"
        )
    });
    let needed = || format!("a new key needs `save`, a file for its secret{renewal}");
    let save = key.save.clone().ok_or_else(needed)?;
    if (inputs.exists)(&save) {
        return Err(format!(
            "{} exists already and is not overwritten{renewal}",
            text::path(&save)
        ));
    }

    let directory = save.parent().unwrap_or(Path::new(""));
    if !(inputs.is_directory)(directory) {
        return Err(format!(
            "there is no directory {} for {}",
            text::path(directory),
            text::path(&save)
        ));
    }

    Ok(save)
}

/// Returns the body of the call, without the subaccounts.
fn body(key: &Key) -> Value {
    let description = key.description.as_ref().and_then(Option::as_ref);
    let expiry = key
        .expires_at
        .flatten()
        .map(|Second(second)| rfc3339(second));
    let fields = [
        ("name", json!(key.name)),
        ("description", json!(description)),
        ("environment", json!(key.environment)),
        ("tier", json!(key.tier)),
        ("scope", json!(key.scope)),
        ("roles", json!(key.roles)),
        ("permissions", json!(key.permissions)),
        ("allowed_ips", json!(key.allowed_ips)),
        ("denied_ips", json!(key.denied_ips)),
        ("expires_at", json!(expiry)),
        ("limits", json!(key.limits)),
    ];
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    let body: Map<_, _> = given
        .map(|(field, value)| (field.to_owned(), value))
        .collect();

    Value::Object(body)
}
