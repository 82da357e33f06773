//! Plans the changes that make the current state match a document. Pure: the state goes in, actions
//! come out.
//!
//! Creations and edits come first: tiers, services, subaccounts, users, routes, keys. Removals
//! follow in reverse order, because nothing can be removed while something else refers to it.

mod keys;
mod names;
mod routes;
mod rules;
mod tiers;
mod users;
mod wider;

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::document::Document;
use super::state::{Others, State};
use crate::secret::Secret;
use crate::text::{self, plain};

/// The actions, in order, and the resources that are not in the file but stay.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) left: Vec<Left>,
}

/// The resources of a kind that are not in the file but stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    kind: &'static str,
    pub(super) count: usize,
    /// The names of some of them.
    sample: Vec<String>,
}

impl Left {
    fn new(kind: &'static str, others: &Others) -> Self {
        Self {
            kind,
            count: others.count,
            sample: others.sample.clone(),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "kind": self.kind, "count": self.count, "sample": self.sample })
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.count == 1 { "is" } else { "are" };
        let pruned = if self.kind == KEYS {
            "revoke"
        } else {
            "delete"
        };
        let object = if self.count == 1 { "it" } else { "them" };
        write!(
            f,
            "= {} {verb} not in the file; --prune would {pruned} {object}",
            counted(self.count, self.kind)
        )?;
        let shown: Vec<_> = self
            .sample
            .iter()
            .take(NAMED)
            .map(|name| plain(name))
            .collect();
        let more = if self.count > shown.len() {
            ", …"
        } else {
            ""
        };
        write!(f, ": {}{more}", shown.join(", "))
    }
}

/// The kind of keys.
const KEYS: &str = "key";

/// The number of names on a line about remaining resources.
const NAMED: usize = 5;

/// The number of lines about loosened restrictions.
const WIDER_SHOWN: usize = 10;

/// The number of removals of a kind that are shown to people.
const REMOVALS_SHOWN: usize = 20;

/// Formats a number and its noun, such as `50,015 keys`.
fn counted(count: usize, kind: &str) -> String {
    let number = text::number(u64::try_from(count).unwrap_or(u64::MAX));
    format!("{number} {kind}{}", if count == 1 { "" } else { "s" })
}

/// Other inputs of a plan.
pub(super) struct Facts<'f> {
    pub(super) prune: bool,
    /// The current time, in Unix seconds.
    pub(super) now: i64,
    /// Returns the value of an environment variable.
    pub(super) secret: &'f dyn Fn(&str) -> Option<Secret>,
    /// Returns whether a path exists.
    pub(super) is_there: &'f dyn Fn(&Path) -> bool,
    /// Returns whether a directory exists.
    pub(super) is_directory: &'f dyn Fn(&Path) -> bool,
}

/// One change.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) line: Line,
    /// `None` if the previous action's call includes this change.
    pub(super) call: Option<Call>,
    /// The field of the body that names subaccounts, and their names: some may have no ids yet.
    pub(super) subaccounts: Option<(&'static str, Vec<String>)>,
    /// The edit that follows the creation.
    pub(super) then: Option<Value>,
    /// The file for the created secret.
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
        Self {
            method,
            path: path.map(str::to_owned).to_vec(),
            body,
        }
    }
}

impl Action {
    fn new(line: Line, call: impl Into<Option<Call>>) -> Self {
        Self {
            line,
            call: call.into(),
            subaccounts: None,
            then: None,
            save: None,
            password_env: None,
        }
    }
}

/// A line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) sign: Sign,
    pub(super) kind: &'static str,
    pub(super) name: String,
    detail: String,
    /// The differences, if they need more than one line.
    differences: Vec<String>,
    /// The loosened restrictions.
    wider: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Make,
    Edit,
    Remove,
    Refused,
}

impl Sign {
    /// Returns the sign for people and the word for scripts.
    fn told(self) -> (char, &'static str) {
        match self {
            Self::Make => ('+', "create"),
            Self::Edit => ('~', "edit"),
            Self::Remove => ('-', "remove"),
            Self::Refused => ('!', "refuse"),
        }
    }
}

impl Line {
    fn new(sign: Sign, kind: &'static str, name: &str, detail: impl Into<String>) -> Self {
        Self {
            sign,
            kind,
            name: name.to_owned(),
            detail: detail.into(),
            differences: Vec::new(),
            wider: Vec::new(),
        }
    }

    /// Adds the loosened restrictions.
    fn with_wider(self, wider: Vec<String>) -> Self {
        Self { wider, ..self }
    }

    pub(super) fn json(&self) -> Value {
        let mut line =
            json!({ "action": self.sign.told().1, "kind": self.kind, "name": self.name });
        if !self.detail.is_empty() {
            line["detail"] = json!(self.detail);
        }
        for (field, list) in [("differences", &self.differences), ("wider", &self.wider)] {
            if !list.is_empty() {
                line[field] = json!(list);
            }
        }
        line
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!(" {}", plain(&self.name))
        };
        write!(f, "{} {}{name}", self.sign.told().0, self.kind)?;
        match self.sign {
            _ if self.detail.is_empty() => {}
            Sign::Remove => write!(f, " {}", self.detail)?,
            _ => write!(f, ": {}", self.detail)?,
        }
        self.differences
            .iter()
            .try_for_each(|line| write!(f, "\n    {line}"))?;
        let shown = self.wider.iter().take(WIDER_SHOWN);
        shown
            .into_iter()
            .try_for_each(|line| write!(f, "\n    ! {line}"))?;
        match self.wider.len().saturating_sub(WIDER_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n    ! and {more} more"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut removals = BTreeMap::<_, usize>::new();
        for Action { line, .. } in &self.actions {
            if line.sign == Sign::Remove {
                let seen = removals.entry(line.kind).or_default();
                *seen = seen.saturating_add(1);
                if *seen > REMOVALS_SHOWN {
                    continue;
                }
            }
            writeln!(f, "{line}")?;
        }
        for (kind, count) in removals
            .into_iter()
            .filter(|(_, count)| *count > REMOVALS_SHOWN)
        {
            writeln!(
                f,
                "- and {} more",
                counted(count.saturating_sub(REMOVALS_SHOWN), kind)
            )?;
        }
        self.left
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))?;
        if self.actions.is_empty() {
            f.write_str("nothing to do\n")
        } else {
            Ok(())
        }
    }
}

/// The removal of a resource.
struct Removal {
    call: Call,
    /// The consequences, such as `and revokes 2 keys`.
    detail: String,
}

impl From<Call> for Removal {
    fn from(call: Call) -> Self {
        Self {
            call,
            detail: String::new(),
        }
    }
}

/// A plan that is being made.
#[derive(Debug, Default)]
struct Draft {
    actions: Vec<Action>,
    /// The removals in the order of the sections. They are done in reverse order.
    removals: Vec<Action>,
    left: Vec<Left>,
    refused: Vec<Line>,
}

impl Draft {
    fn refuse(&mut self, kind: &'static str, name: &str, reason: impl Into<String>) {
        self.refused
            .push(Line::new(Sign::Refused, kind, name, reason));
    }

    /// Handles the resources in `there_is` that are not in `wanted`: plans their removal, refuses
    /// it with a reason, or, without `removal`, reports them as remaining.
    fn rest(
        &mut self,
        kind: &'static str,
        field: &str,
        there_is: &[Value],
        wanted: &BTreeSet<&str>,
        removal: Option<Judge<'_>>,
    ) {
        let mut others = Others::default();
        for entry in there_is
            .iter()
            .filter(|entry| !wanted.contains(text::field(entry, field)))
        {
            let name = text::field(entry, field);
            match removal.map(|removal| removal(entry)) {
                Some(Ok(Removal { call, detail })) => {
                    self.removals.push(Action::new(
                        Line::new(Sign::Remove, kind, name, detail),
                        call,
                    ));
                }
                Some(Err(reason)) => self.refuse(kind, name, reason),
                None => others.add(name),
            }
        }
        self.leave(kind, &others);
    }

    /// Reports resources that stay although the file does not list them.
    fn leave(&mut self, kind: &'static str, others: &Others) {
        if others.count > 0 {
            self.left.push(Left::new(kind, others));
        }
    }
}

/// Plans the removal of a resource, or returns why it cannot be removed.
type Judge<'a> = &'a dyn Fn(&Value) -> Result<Removal, String>;

impl Plan {
    /// Returns the plan, or a line for each change that cannot be made.
    pub(super) fn new(
        document: &Document,
        state: &State,
        facts: &Facts<'_>,
    ) -> Result<Self, Vec<Line>> {
        let mut draft = Draft::default();
        let changed_tiers = tiers::plan(document, state, facts, &mut draft);
        names::services(document, state, facts, &mut draft);
        let subaccounts = names::subaccounts(document, state, facts, &mut draft);
        users::plan(document, state, facts, &subaccounts, &mut draft);
        routes::plan(document, state, &mut draft);
        let around = keys::Around {
            subaccounts: &subaccounts,
            changed_tiers: &changed_tiers,
        };
        keys::plan(document, state, facts, &around, &mut draft);
        if !draft.refused.is_empty() {
            return Err(draft.refused);
        }
        let Draft {
            mut actions,
            removals,
            left,
            ..
        } = draft;
        actions.extend(removals.into_iter().rev());
        Ok(Self { actions, left })
    }
}

impl Plan {
    /// Describes the removals, such as `revokes 3 keys, deletes 1 user`; empty if there are none.
    pub(super) fn removals(&self) -> String {
        let removed = self
            .actions
            .iter()
            .filter(|action| action.line.sign == Sign::Remove);
        let mut counts = Vec::<(&str, usize)>::new();
        for Action { line, .. } in removed {
            match counts.iter_mut().find(|(kind, _)| *kind == line.kind) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => counts.push((line.kind, 1)),
            }
        }
        let verb = |kind| if kind == KEYS { "revokes" } else { "deletes" };
        let told = counts
            .into_iter()
            .map(|(kind, count)| format!("{} {}", verb(kind), counted(count, kind)));
        told.collect::<Vec<_>>().join(", ")
    }

    /// Returns whether the plan loosens a restriction.
    pub(super) fn is_wider(&self) -> bool {
        self.actions
            .iter()
            .any(|action| !action.line.wider.is_empty())
    }
}

/// Returns the entries of `now` that are not in `before`, such as additional permissions.
fn added(before: &Value, now: &Value) -> Vec<String> {
    let before = before.as_array().map_or(&[][..], Vec::as_slice);
    let new = now
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| !before.contains(entry));
    new.map(text::of).collect()
}

/// Describes a changed field, such as `tier free → pro`; `None` if the values are equal.
fn difference(field: &str, from: &Value, to: &Value) -> Option<String> {
    (from != to).then(|| format!("{field} {} → {}", text::of(from), text::of(to)))
}

/// Sorts a list and removes duplicates, to compare lists whose order has no meaning.
fn sorted(list: &Value) -> Value {
    let mut entries = list.as_array().cloned().unwrap_or_default();
    entries.sort_by_key(ToString::to_string);
    entries.dedup();
    Value::Array(entries)
}

#[cfg(test)]
mod tests;
