//! Plans the changes of users, which are identified by their email addresses. A password is only
//! set when a user is created, and never compared.

use latchkey_model::selection::Selection;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::compare::{added, difference, sorted};
use super::draft::{Draft, Removal};
use super::{Action, Call, ChangeKind, PlanInputs, PlanLine};
use crate::apply::document::{Document, User};
use crate::apply::state::{State, named};
use crate::password::long_enough;
use crate::text;

const KIND: &str = "user";

pub(super) fn plan(
    document: &Document,
    state: &State,
    inputs: &PlanInputs<'_>,
    subaccounts: &BTreeSet<&str>,
    draft: &mut Draft,
) {
    let Some(users) = &document.users else { return };
    for user in users {
        let listed = user
            .subaccounts
            .as_ref()
            .and_then(Selection::listed)
            .unwrap_or_default();
        if let Some(unknown) = listed
            .iter()
            .find(|name| !subaccounts.contains(name.as_str()))
        {
            draft.refuse(
                KIND,
                &user.email,
                format!("the subaccount {} does not exist", text::plain(unknown)),
            );
            continue;
        }
        match named(&state.users, "email", &user.email) {
            Some(existing) => draft.actions.extend(edit(user, existing, state)),
            None => match password(user, inputs) {
                Ok(variable) => draft.actions.push(create(user, variable)),
                Err(reason) => draft.refuse(KIND, &user.email, reason),
            },
        }
    }

    let wanted = users.iter().map(|user| user.email.as_str()).collect();
    let removal = |user: &_| removal(user, document, state);
    draft.plan_unlisted(
        KIND,
        "email",
        &state.users,
        &wanted,
        if inputs.prune { Some(&removal) } else { None },
    );
}

/// Plans the removal of a user, which also revokes the user's keys. Refuses to remove a user with a
/// key that the file lists, and the user who applies the file or owns the key that it is applied
/// with.
fn removal(user: &Value, document: &Document, state: &State) -> Result<Removal, String> {
    let id = text::field(user, "user_id");
    if state.is_caller("user_id", id) {
        return Err(
            "the file is applied as this user or with one of their keys, so they cannot be deleted"
                .to_owned(),
        );
    }

    let owned: BTreeSet<_> = state
        .keys
        .iter()
        .filter(|key| text::field(key, "owner") == id)
        .map(|key| text::field(key, "name"))
        .collect();
    let call = Call::new(Method::DELETE, ["users", id], None);
    let Some(keys) = &document.keys else {
        return Ok(Removal {
            call,
            detail: and_revokes(owned.len()),
        });
    };

    let kept: Vec<_> = keys
        .iter()
        .map(|key| key.name.as_str())
        .filter(|name| owned.contains(name))
        .collect();
    if !kept.is_empty() {
        let names = text::joined(kept.into_iter().map(text::plain));
        return Err(format!(
            "this would revoke keys of theirs that the file lists: {names}"
        ));
    }

    // The other keys are pruned too, and have their own lines.
    Ok(call.into())
}

fn and_revokes(keys: usize) -> String {
    match keys {
        0 => String::new(),
        1 => "and revokes 1 key".to_owned(),
        several => format!("and revokes {several} keys"),
    }
}

/// Returns the name of the variable with the password, after checking that it is set and long
/// enough.
fn password(user: &User, inputs: &PlanInputs<'_>) -> Result<String, String> {
    let needed = "a new user needs `password_env`, the environment variable with their password";
    let variable = user.password_env.as_ref().ok_or(needed)?;
    let password =
        (inputs.secret)(variable).ok_or_else(|| format!("{} is not set", text::plain(variable)))?;
    long_enough(&text::plain(variable), &password).map_err(|error| error.to_string())?;
    Ok(variable.clone())
}

fn create(user: &User, password_env: String) -> Action {
    let mut body = json!({ "email": user.email });
    for (field, value) in [
        ("roles", json!(user.roles)),
        ("permissions", json!(user.permissions)),
    ] {
        if !value.is_null() {
            body[field] = value;
        }
    }

    let subaccounts = select(&mut body, user.subaccounts.as_ref());
    let call = Call::new(Method::POST, ["users"], Some(body));
    let mut action = Action::new(
        PlanLine::new(ChangeKind::Create, KIND, &user.email, ""),
        call,
    );
    action.subaccounts = subaccounts;
    action.then = (user.disabled == Some(true)).then(|| json!({ "disabled": true }));
    action.password_env = Some(password_env);

    action
}

/// Puts "all" into the body, or returns the names, whose ids are looked up later.
fn select(
    body: &mut Value,
    subaccounts: Option<&Selection>,
) -> Option<(&'static str, Vec<String>)> {
    match subaccounts? {
        Selection::Listed(names) => Some(("subaccounts", names.clone())),
        Selection::All => {
            body["subaccounts"] = json!("all");
            None
        }
    }
}

fn edit(user: &User, existing: &Value, state: &State) -> Option<Action> {
    let (mut body, mut details) = (Map::new(), Vec::new());
    let lists = [("roles", user.roles.as_ref().map(|list| json!(list)))];
    let lists = lists.into_iter().chain([(
        "permissions",
        user.permissions.as_ref().map(|list| json!(list)),
    )]);

    for (field, wanted) in lists.filter_map(|(field, list)| Some((field, list?))) {
        if let Some(detail) = difference(field, &sorted(&existing[field]), &sorted(&wanted)) {
            details.push(detail);
            body.insert(field.to_owned(), wanted);
        }
    }
    if let Some(detail) = user
        .disabled
        .and_then(|wanted| difference("disabled", &existing["disabled"], &json!(wanted)))
    {
        details.push(detail);
        body.insert("disabled".to_owned(), json!(user.disabled));
    }
    let subaccounts = user.subaccounts.as_ref().filter(|wanted| {
        let detail = difference(
            "subaccounts",
            &names(&existing["subaccounts"], state),
            &canonical(wanted),
        );
        let differs = detail.is_some();
        details.extend(detail);
        differs
    });
    if details.is_empty() {
        return None;
    }

    let wider = wider(user, existing, state);
    let mut body = Value::Object(body);
    let subaccounts = select(&mut body, subaccounts);
    let call = Call::new(
        Method::PATCH,
        ["users", text::field(existing, "user_id")],
        Some(body),
    );
    let line =
        PlanLine::new(ChangeKind::Edit, KIND, &user.email, details.join(", ")).with_wider(wider);
    let mut action = Action::new(line, call);
    action.subaccounts = subaccounts;

    Some(action)
}

/// Returns what the edit additionally allows the user.
fn wider(user: &User, existing: &Value, state: &State) -> Vec<String> {
    let mut wider = Vec::new();
    let holds = |field: &str, name: &str| {
        text::entries(existing, field)
            .iter()
            .any(|held| held == name)
    };
    let holds_all = holds("roles", "admin") || holds("permissions", "*");

    for (field, wanted) in [
        ("roles", json!(user.roles)),
        ("permissions", json!(user.permissions)),
    ] {
        let added = added(&existing[field], &wanted);
        wider.extend(
            added
                .into_iter()
                .filter(|_| !holds_all)
                .map(|name| format!("gets {name}")),
        );
    }

    let before = names(&existing["subaccounts"], state);
    match user.subaccounts.as_ref().map(canonical) {
        Some(wanted) if wanted == "all" && before != "all" => {
            wider.push("gets all subaccounts".to_owned());
        }
        Some(wanted) if before != "all" => {
            wider.extend(
                added(&before, &wanted)
                    .into_iter()
                    .map(|name| format!("gets the subaccount {name}")),
            );
        }
        _ => {}
    }
    if user.disabled == Some(false) && existing["disabled"] == true {
        wider.push("is no longer disabled".to_owned());
    }

    wider
}

/// Returns "all", or the names of the subaccounts that are listed by id.
fn names(selection: &Value, state: &State) -> Value {
    let Some(ids) = selection.as_array() else {
        return selection.clone();
    };
    let names = ids
        .iter()
        .map(|id| json!(state.subaccount_name(id.as_str().unwrap_or_default())));
    sorted(&Value::Array(names.collect()))
}

fn canonical(selection: &Selection) -> Value {
    match selection {
        Selection::All => json!("all"),
        Selection::Listed(names) => sorted(&json!(names)),
    }
}
