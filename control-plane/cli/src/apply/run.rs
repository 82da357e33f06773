//! Executes a plan, one call after the other. **Nothing is overwritten that the plan was not made
//! on**: before the first change, everything to be edited is read again with its entity tag and
//! compared, and edits apply only to that tag.

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

use super::plan::{Action, Call, Plan};
use super::state::{State, Tags, named};
use crate::client::Tagged;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::key::revoke_undelivered;
use crate::query::Query;
use crate::secret::Secret;
use crate::secret_file::SecretFile;
use crate::{Context, text};

/// Executes the plan up to the first failure, and then reports what was done and what was not. The
/// files for secrets are created before the first change, so that every new secret can be saved.
pub(super) async fn run(
    context: &Context,
    plan: &Plan,
    state: &State,
    directory: &Path,
) -> Result<Exit, CommandError> {
    let reserve = |action: &Action| {
        action
            .save
            .as_ref()
            .map(|path| SecretFile::reserve(&directory.join(path)))
            .transpose()
    };
    let files = plan
        .actions
        .iter()
        .map(reserve)
        .collect::<Result<Vec<_>, _>>()?;
    let tags = read_tags(context, plan, state).await?;
    let mut runner = Runner {
        context,
        subaccounts: subaccount_ids(state),
        tags,
        exit: Exit::Done,
    };
    for (index, (action, file)) in plan.actions.iter().zip(files).enumerate() {
        if let Err(error) = runner.carry_out(action, file).await {
            return Err(interrupted(plan, index, &error));
        }
    }

    Ok(runner.exit)
}

fn subaccount_ids(state: &State) -> BTreeMap<String, String> {
    let pair = |subaccount: &Value| {
        (
            text::field(subaccount, "name").to_owned(),
            text::field(subaccount, "subaccount_id").to_owned(),
        )
    };
    state.subaccounts.iter().map(pair).collect()
}

/// Reports a failed plan. The error itself states whether the failed change was made in part.
fn interrupted(plan: &Plan, failed: usize, error: &CommandError) -> CommandError {
    let lines = |actions: &[Action]| {
        actions
            .iter()
            .map(|action| format!("\n  {}", action.line))
            .collect::<String>()
    };

    let (done, not_done) = plan.actions.split_at(failed);
    let what = not_done
        .first()
        .map(|action| action.line.to_string())
        .unwrap_or_default();
    let done = if done.is_empty() {
        "nothing was done".to_owned()
    } else {
        format!("done:{}", lines(done))
    };
    let rest = format!("{done}\nnot done:{}", lines(not_done));

    match error {
        CommandError::Refused { status: 412, .. } => CommandError::Conflict(format!(
            "{what}: {CHANGED_MEANWHILE}; apply the file again\n{rest}"
        )),
        error => CommandError::PartiallyApplied(format!("{what}: {error}\n{rest}")),
    }
}

const CHANGED_MEANWHILE: &str = "it was changed by somebody else since the plan was made";

/// Returns the entity tags of everything that the plan edits. Fails if a resource differs from its
/// state in the plan.
async fn read_tags(context: &Context, plan: &Plan, state: &State) -> Result<Tags, CommandError> {
    let mut tags = state.tags.clone();
    let edits = plan
        .actions
        .iter()
        .filter_map(|action| Some((action, action.call.as_ref()?)));
    for (action, call) in edits.filter(|(_, call)| call.method == Method::PATCH) {
        let planned = match call.path.as_slice() {
            [kind, id] if kind == "keys" => Some((&state.keys, "key_id", id, KEY_FIELDS)),
            [kind, id] if kind == "users" => Some((&state.users, "user_id", id, USER_FIELDS)),
            // Other resources have no tags.
            _ => None,
        };
        let Some((entries, field, id, fields)) = planned else {
            continue;
        };
        let path: Vec<_> = call.path.iter().map(String::as_str).collect();
        let Tagged { data, tag } = context.api.get_tagged(&path).await?;
        let before = named(entries, field, id);
        if before.is_none_or(|before| fields.iter().any(|field| before[*field] != data[*field])) {
            let what = &action.line;
            return Err(CommandError::Conflict(format!(
                "{what}: {CHANGED_MEANWHILE}; nothing was changed, apply the file again"
            )));
        }
        tags.extend(tag.map(|tag| (call.path.clone(), tag)));
    }

    Ok(tags)
}

/// The editable fields of keys and users in the API.
const KEY_FIELDS: &[&str] = &[
    "name",
    "description",
    "expires_at",
    "allowed_ips",
    "denied_ips",
    "limits",
    "active",
    "revoked_at",
];
const USER_FIELDS: &[&str] = &["email", "roles", "permissions", "subaccounts", "disabled"];

struct Runner<'r> {
    context: &'r Context,
    /// The subaccounts' ids by their names.
    subaccounts: BTreeMap<String, String>,
    /// The entity tags of edited resources, as of the last call.
    tags: Tags,
    exit: Exit,
}

impl Runner<'_> {
    async fn carry_out(
        &mut self,
        action: &Action,
        file: Option<SecretFile>,
    ) -> Result<(), CommandError> {
        let Some(call) = &action.call else {
            return Ok(());
        };

        let path: Vec<_> = call.path.iter().map(String::as_str).collect();
        let body = self.body(action, call)?;
        let api = &self.context.api;
        let tag = self.tags.get(&call.path).map(String::as_str);
        let Tagged { data, tag } = api
            .call_if_match(call.method.clone(), &path, body.as_ref(), tag)
            .await?;
        if let Some((known, tag)) = self.tags.get_mut(&call.path).zip(tag) {
            *known = tag;
        }

        self.exit = self.exit.max(self.context.output.exit(&data));
        if action.line.kind == "subaccount" && data["subaccount_id"].is_string() {
            self.subaccounts.insert(
                action.line.name.clone(),
                text::field(&data, "subaccount_id").to_owned(),
            );
        }
        if let Some(file) = file {
            self.save(file, &data).await?;
        }

        match &action.then {
            None => Ok(()),
            Some(edit) => self.edit(&path, &data, edit).await,
        }
    }

    /// Returns the body with ids instead of names of subaccounts, and with the password.
    fn body(&self, action: &Action, call: &Call) -> Result<Option<Value>, CommandError> {
        let Some(mut body) = call.body.clone() else {
            return Ok(None);
        };

        if let Some((field, names)) = &action.subaccounts {
            let id = |name: &String| {
                let unknown = || {
                    CommandError::NotFound(format!("no subaccount is named {}", text::plain(name)))
                };
                self.subaccounts.get(name).ok_or_else(unknown)
            };
            body[*field] = json!(names.iter().map(id).collect::<Result<Vec<_>, _>>()?);
        }
        if let Some(variable) = &action.password_env {
            let unset = || CommandError::usage(format!("{} is not set", text::plain(variable)));
            body["password"] = json!(Secret::from_env(variable).ok_or_else(unset)?);
        }

        Ok(Some(body))
    }

    async fn save(&self, file: SecretFile, made: &Value) -> Result<(), CommandError> {
        let path = file.path().to_owned();
        match file.save(&Secret::new(text::field(made, "api_key"))) {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = CommandError::file(&path, format!("cannot be written: {error}"));
                Err(revoke_undelivered(self.context, text::field(made, "key_id"), &error).await)
            }
        }
    }

    /// Edits the resource that was just created.
    async fn edit(
        &mut self,
        path: &[&str],
        made: &Value,
        edit: &Value,
    ) -> Result<(), CommandError> {
        let (kind, id) = match path.first() {
            Some(&"users") => ("users", text::field(made, "user_id")),
            _ => ("keys", text::field(made, "key_id")),
        };
        let edited = self
            .context
            .api
            .patch(&[kind, id], &Query::default(), edit)
            .await;
        let edited = edited.map_err(|error| {
            let reason = format!(
                "it was created as {}, but not disabled: {error}",
                text::plain(id)
            );
            CommandError::PartiallyApplied(reason)
        })?;
        self.exit = self.exit.max(self.context.output.exit(&edited));

        Ok(())
    }
}
