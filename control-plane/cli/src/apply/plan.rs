//! Plans the changes that make the current state match a document. Pure: the state goes in, actions
//! come out.
//!
//! Creations and edits come first: tiers, services, subaccounts, users, routes, keys. Removals
//! follow in reverse order, because nothing can be removed while something else refers to it.

mod action;
mod compare;
mod draft;
mod keys;
mod line;
mod names;
mod routes;
mod tiers;
mod unlisted;
mod users;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::document::Document;
use super::state::State;
use crate::secret::Secret;
use crate::text::counted;
use draft::Draft;

pub(super) use action::{Action, Call};
pub(super) use line::{ChangeKind, PlanLine};
pub(super) use unlisted::Unlisted;

/// The kind of keys.
const KEYS: &str = "key";

/// The number of removals of a kind that are shown to people.
const REMOVALS_SHOWN: usize = 20;

/// The actions, in order, and the resources that are not in the file but stay.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) left: Vec<Unlisted>,
}

/// Other inputs of a plan.
pub(super) struct PlanInputs<'i> {
    pub(super) prune: bool,
    /// The current time, in Unix seconds.
    pub(super) now: i64,
    /// Returns the value of an environment variable.
    pub(super) secret: &'i dyn Fn(&str) -> Option<Secret>,
    /// Returns whether a path exists.
    pub(super) exists: &'i dyn Fn(&Path) -> bool,
    /// Returns whether a directory exists.
    pub(super) is_directory: &'i dyn Fn(&Path) -> bool,
}

impl Plan {
    /// Returns the plan, or a line for each change that cannot be made.
    pub(super) fn new(
        document: &Document,
        state: &State,
        inputs: &PlanInputs<'_>,
    ) -> Result<Self, Vec<PlanLine>> {
        let mut draft = Draft::default();
        let changed_tiers = tiers::plan(document, state, inputs, &mut draft);
        names::services(document, state, inputs, &mut draft);
        let subaccounts = names::subaccounts(document, state, inputs, &mut draft);
        users::plan(document, state, inputs, &subaccounts, &mut draft);
        routes::plan(document, state, &mut draft);
        let context = keys::PlanContext {
            inputs,
            subaccounts: &subaccounts,
            changed_tiers: &changed_tiers,
        };
        keys::plan(document, state, &context, &mut draft);

        if !draft.refused.is_empty() {
            return Err(draft.refused);
        }

        let mut actions = draft.actions;
        actions.extend(draft.removals.into_iter().rev());
        Ok(Self {
            actions,
            left: draft.left,
        })
    }

    /// Describes the removals, such as `revokes 3 keys, deletes 1 user`; empty if there are none.
    pub(super) fn removals(&self) -> String {
        let removed = self
            .actions
            .iter()
            .filter(|action| action.line.change == ChangeKind::Remove);
        let mut counts = Vec::<(&str, usize)>::new();
        for Action { line, .. } in removed {
            match counts.iter_mut().find(|(kind, _)| *kind == line.kind) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => counts.push((line.kind, 1)),
            }
        }

        let verb = |kind| if kind == KEYS { "revokes" } else { "deletes" };
        let parts = counts
            .into_iter()
            .map(|(kind, count)| format!("{} {}", verb(kind), counted(count, kind)));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// Returns whether the plan loosens a restriction.
    pub(super) fn is_wider(&self) -> bool {
        self.actions
            .iter()
            .any(|action| !action.line.wider.is_empty())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut removals = BTreeMap::<_, usize>::new();
        for Action { line, .. } in &self.actions {
            if line.change == ChangeKind::Remove {
                let seen = removals.entry(line.kind).or_default();
                *seen = seen.saturating_add(1);
                if *seen > REMOVALS_SHOWN {
                    continue;
                }
            }
            writeln!(f, "{line}")?;
        }

        for (kind, count) in removals {
            if count > REMOVALS_SHOWN {
                let more = count.saturating_sub(REMOVALS_SHOWN);
                writeln!(f, "- and {} more", counted(more, kind))?;
            }
        }

        for line in &self.left {
            writeln!(f, "{line}")?;
        }
        if self.actions.is_empty() {
            f.write_str("nothing to do\n")?;
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests;
