//! Arguments that several commands share, in the API's form.

use clap::Args;
use latchkey_model::text::{has_form_of_id, normalized_name};
use latchkey_policy::limit::Window;
use serde_json::{Map, Value, json};
use std::str::FromStr;

use super::Context;
use super::error::CommandError;
use super::query::Query;
use super::text;

/// The time to wait for nodes.
#[derive(Debug, Clone, Args)]
pub(super) struct Wait {
    /// Milliseconds to wait until the change is in force on every node (default: 1000)
    #[arg(long, value_name = "MILLISECONDS")]
    wait: Option<u32>,
}

impl Wait {
    pub(super) fn query(&self) -> Query {
        Query::default().with("wait_ms", self.wait)
    }
}

/// A limit, parsed from text such as `minute=100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    window: Window,
    requests: u32,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            "must be minute, hour, day or month, then = and a whole number from 1, such as \
             minute=100"
                .to_owned()
        };
        let (name, requests) = text.split_once('=').ok_or_else(refused)?;
        let window = Window::ALL
            .into_iter()
            .find(|window| window.as_str() == name)
            .ok_or_else(refused)?;
        let requests = requests
            .parse()
            .ok()
            .filter(|requests| *requests > 0)
            .ok_or_else(refused)?;

        Ok(Self { window, requests })
    }
}

/// Returns an object such as `{"minute": 100}`. Refuses two limits for one window.
pub(super) fn limits(limits: &[Limit]) -> Result<Value, CommandError> {
    let mut object = Map::new();
    for Limit { window, requests } in limits {
        if object
            .insert(window.as_str().to_owned(), json!(requests))
            .is_some()
        {
            return Err(CommandError::usage(format!(
                "--limit: {} is given twice",
                window.as_str()
            )));
        }
    }

    Ok(Value::Object(object))
}

/// Returns `"all"`, or the list. Refuses a list that contains `all` and names.
pub(super) fn selection(argument: &str, names: &[String]) -> Result<Value, CommandError> {
    match names {
        [only] if only == "all" => Ok(json!("all")),
        names if names.iter().any(|name| name == "all") => Err(CommandError::usage(format!(
            "{argument}: all cannot be combined with names"
        ))),
        names => Ok(json!(names)),
    }
}

/// A request body. Omitted values are left out.
#[derive(Default)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    pub(super) fn with(mut self, field: &str, value: Option<impl Into<Value>>) -> Self {
        self.0
            .extend(value.map(|value| (field.to_owned(), value.into())));
        self
    }

    /// Adds a list, unless it is empty.
    pub(super) fn listed(self, field: &str, entries: &[String]) -> Self {
        self.with(field, (!entries.is_empty()).then(|| json!(entries)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn json(self) -> Value {
        Value::Object(self.0)
    }

    /// Returns the body of an edit, which must not be empty.
    pub(super) fn edit(self) -> Result<Value, CommandError> {
        if self.is_empty() {
            return Err(CommandError::usage(
                "there is nothing to edit: give at least one field to change, see --help",
            ));
        }
        Ok(self.json())
    }
}

/// Returns the subaccounts' ids. The subaccounts are only read if at least one is given by name, so
/// other callers need no permission to list them.
pub(super) async fn subaccount_ids(
    context: &Context,
    named: &[String],
) -> Result<Vec<String>, CommandError> {
    if named.iter().all(|name| is_id(name)) {
        return Ok(named.to_vec());
    }
    let existing = context.api.get(&["subaccounts"], &Query::default()).await?;
    let existing = text::entries(&existing, "subaccounts");
    named
        .iter()
        .map(|name| subaccount_id(existing, name))
        .collect()
}

fn is_id(name: &str) -> bool {
    has_form_of_id(name) || name == "all"
}

fn subaccount_id(existing: &[Value], name: &str) -> Result<String, CommandError> {
    if is_id(name) {
        return Ok(name.to_owned());
    }

    let normalized = normalized_name(name);
    let found = existing
        .iter()
        .find(|subaccount| text::field(subaccount, "name") == normalized);
    let unknown =
        || CommandError::NotFound(format!("no subaccount is named {}", text::plain(name)));
    let found = found.ok_or_else(unknown)?;

    Ok(text::field(found, "subaccount_id").to_owned())
}

/// The key by which the API recognizes a repeated call.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Repeat {
    /// Identify the call, so that repeating it with the same key within 24 hours has no second
    /// effect and shows no secret (default: random, for this command only)
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    pub(super) idempotency_key: Option<String>,
}

impl Repeat {
    /// Returns whether `data` is the response to a repeated call.
    pub(super) fn is_repeated(data: &Value) -> bool {
        data["replayed"] == true
    }
}

fn idempotency_key(text: &str) -> Result<String, String> {
    let valid = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if valid {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 255 visible ASCII characters".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_an_object_by_window() {
        let limit = |text: &str| text.parse::<Limit>();
        let two = [
            limit("minute=100").unwrap(),
            limit("month=4294967295").unwrap(),
        ];
        assert_eq!(
            limits(&two).unwrap(),
            json!({"minute": 100, "month": 4_294_967_295_u32})
        );
        let twice = [limit("day=1").unwrap(), limit("day=2").unwrap()];
        assert_eq!(
            limits(&twice).unwrap_err().to_string(),
            "--limit: day is given twice"
        );

        for refused in [
            "minute",
            "minute=",
            "minute=0",
            "second=1",
            "day=-1",
            "day=4294967296",
            "=1",
        ] {
            assert!(
                limit(refused)
                    .unwrap_err()
                    .starts_with("must be minute, hour, day or month"),
                "{refused}"
            );
        }
    }

    #[test]
    fn all_excludes_other_names() {
        let selected = |names: &[&str]| {
            selection(
                "--scope",
                &names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            )
        };
        assert_eq!(selected(&["all"]).unwrap(), json!("all"));
        assert_eq!(selected(&["dns", "cdn"]).unwrap(), json!(["dns", "cdn"]));
        assert!(
            selected(&["dns", "all"])
                .unwrap_err()
                .to_string()
                .starts_with("--scope: all cannot be combined")
        );
    }

    #[test]
    fn subaccounts_resolve_by_name_or_id() {
        let existing = [json!({"subaccount_id": "sub_1", "name": "dev"})];
        assert_eq!(subaccount_id(&existing, "dev").unwrap(), "sub_1");
        assert_eq!(subaccount_id(&existing, "sub_2").unwrap(), "sub_2");
        assert_eq!(
            subaccount_id(&existing, "prod").unwrap_err().to_string(),
            "no subaccount is named prod"
        );
    }
}
