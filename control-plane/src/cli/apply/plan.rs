//! What has to be done so that all is as a document says. Pure: what there is goes in, actions come out.
//!
//! First what is made and edited: tiers, services, subaccounts, users, routes, keys. Then what is pruned, the other way
//! around, as nothing goes while something else names it.

mod keys;
mod names;
mod routes;
mod tiers;
mod users;

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::document::Document;
use super::state::State;
use crate::cli::secret::Secret;
use crate::cli::text::{self, plain};

/// What to do, in order, and what is left as it is although the file does not have it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) left: Vec<Line>,
}

/// What else a plan goes by.
pub(super) struct Facts<'f> {
    pub(super) prune: bool,
    /// Unix seconds.
    pub(super) now: i64,
    /// What an environment variable holds.
    pub(super) secret: &'f dyn Fn(&str) -> Option<Secret>,
    /// Whether something is at a path.
    pub(super) is_there: &'f dyn Fn(&Path) -> bool,
    /// Whether a directory is there.
    pub(super) is_directory: &'f dyn Fn(&Path) -> bool,
}

/// One change.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) line: Line,
    /// None where the action before makes it so, too.
    pub(super) call: Option<Call>,
    /// The field of the body that names subaccounts, and their names: some may have no ids yet.
    pub(super) subaccounts: Option<(&'static str, Vec<String>)>,
    /// What the thing is to be edited to once it is made.
    pub(super) then: Option<Value>,
    /// Where the secret goes that is made.
    pub(super) save: Option<PathBuf>,
    /// The environment variable of the password that goes into the body.
    pub(super) password_env: Option<String>,
}

/// A call of the API.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: Vec<String>,
    pub(super) body: Option<Value>,
}

impl Call {
    fn new<const N: usize>(method: Method, path: [&str; N], body: Option<Value>) -> Self {
        Self { method, path: path.map(str::to_owned).to_vec(), body }
    }
}

impl Action {
    fn new(line: Line, call: impl Into<Option<Call>>) -> Self {
        Self { line, call: call.into(), subaccounts: None, then: None, save: None, password_env: None }
    }
}

/// A line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) sign: Sign,
    pub(super) kind: &'static str,
    pub(super) name: String,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Make,
    Edit,
    Remove,
    Left,
    Refused,
}

impl Sign {
    /// As people and as scripts are told.
    fn told(self) -> (char, &'static str) {
        match self {
            Self::Make => ('+', "create"),
            Self::Edit => ('~', "edit"),
            Self::Remove => ('-', "remove"),
            Self::Left => ('=', "leave"),
            Self::Refused => ('!', "refuse"),
        }
    }
}

impl Line {
    fn new(sign: Sign, kind: &'static str, name: &str, detail: impl Into<String>) -> Self {
        Self { sign, kind, name: name.to_owned(), detail: detail.into() }
    }

    pub(super) fn json(&self) -> Value {
        let mut line = json!({ "action": self.sign.told().1, "kind": self.kind, "name": self.name });
        if !self.detail.is_empty() {
            line["detail"] = json!(self.detail);
        }
        line
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { String::new() } else { format!(" {}", plain(&self.name)) };
        write!(f, "{} {}{name}", self.sign.told().0, self.kind)?;
        match self.sign {
            Sign::Left => f.write_str(" is not in the file"),
            _ if self.detail.is_empty() => Ok(()),
            Sign::Remove => write!(f, " {}", self.detail),
            _ => write!(f, ": {}", self.detail),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actions.iter().try_for_each(|action| writeln!(f, "{}", action.line))?;
        self.left.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        if self.actions.is_empty() { f.write_str("nothing to do\n") } else { Ok(()) }
    }
}

/// How something is removed.
struct Removal {
    call: Call,
    /// What goes with it, as in `and revokes 2 keys`.
    detail: String,
}

impl From<Call> for Removal {
    fn from(call: Call) -> Self {
        Self { call, detail: String::new() }
    }
}

/// A plan that is being made.
#[derive(Debug, Default)]
struct Draft {
    actions: Vec<Action>,
    /// In the order of the sections; they are done in the reverse order.
    removals: Vec<Action>,
    left: Vec<Line>,
    refused: Vec<Line>,
}

impl Draft {
    fn refuse(&mut self, kind: &'static str, name: &str, reason: impl Into<String>) {
        self.refused.push(Line::new(Sign::Refused, kind, name, reason));
    }

    /// What of `there_is` is not among `wanted` is left, or removed as `removal` says of it, or why it cannot be.
    fn rest(
        &mut self,
        kind: &'static str,
        field: &str,
        there_is: &[Value],
        wanted: &BTreeSet<&str>,
        removal: Option<Judge<'_>>,
    ) {
        for entry in there_is.iter().filter(|entry| !wanted.contains(text::field(entry, field))) {
            let name = text::field(entry, field);
            match removal.map(|removal| removal(entry)) {
                Some(Ok(Removal { call, detail })) => {
                    self.removals.push(Action::new(Line::new(Sign::Remove, kind, name, detail), call));
                }
                Some(Err(reason)) => self.refuse(kind, name, reason),
                None => self.left.push(Line::new(Sign::Left, kind, name, "")),
            }
        }
    }
}

/// How one thing is removed, or why it cannot be.
type Judge<'a> = &'a dyn Fn(&Value) -> Result<Removal, String>;

impl Plan {
    /// The plan, or everything in the document that cannot be done.
    pub(super) fn new(document: &Document, state: &State, facts: &Facts<'_>) -> Result<Self, Vec<Line>> {
        let mut draft = Draft::default();
        let changed_tiers = tiers::plan(document, state, facts, &mut draft);
        names::services(document, state, facts, &mut draft);
        let subaccounts = names::subaccounts(document, state, facts, &mut draft);
        users::plan(document, state, facts, &subaccounts, &mut draft);
        routes::plan(document, state, &mut draft);
        let around = keys::Around { subaccounts: &subaccounts, changed_tiers: &changed_tiers };
        keys::plan(document, state, facts, &around, &mut draft);
        if !draft.refused.is_empty() {
            return Err(draft.refused);
        }
        let Draft { mut actions, removals, left, .. } = draft;
        actions.extend(removals.into_iter().rev());
        Ok(Self { actions, left })
    }
}

/// `tier free → pro`, if that is another.
fn difference(field: &str, from: &Value, to: &Value) -> Option<String> {
    (from != to).then(|| format!("{field} {} → {}", text::of(from), text::of(to)))
}

/// A list in one order, whatever it was in: for lists of which the order says nothing.
fn sorted(list: &Value) -> Value {
    let mut entries = list.as_array().cloned().unwrap_or_default();
    entries.sort_by_key(ToString::to_string);
    entries.dedup();
    Value::Array(entries)
}

#[cfg(test)]
mod tests;
