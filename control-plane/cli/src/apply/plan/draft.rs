//! A plan that is being made.

use serde_json::Value;
use std::collections::BTreeSet;

use super::action::{Action, Call};
use super::line::{ChangeKind, PlanLine};
use super::unlisted::Unlisted;
use crate::apply::state::NameSample;
use crate::text;

/// A plan that is being made.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) actions: Vec<Action>,
    /// The removals in the order of the sections. They are done in reverse order.
    pub(super) removals: Vec<Action>,
    pub(super) left: Vec<Unlisted>,
    pub(super) refused: Vec<PlanLine>,
}

/// The removal of a resource.
pub(super) struct Removal {
    pub(super) call: Call,
    /// The consequences, such as `and revokes 2 keys`.
    pub(super) detail: String,
}

impl From<Call> for Removal {
    fn from(call: Call) -> Self {
        Self {
            call,
            detail: String::new(),
        }
    }
}

/// Plans the removal of a resource, or returns why it cannot be removed.
pub(super) type PlanRemoval<'a> = &'a dyn Fn(&Value) -> Result<Removal, String>;

impl Draft {
    pub(super) fn refuse(&mut self, kind: &'static str, name: &str, reason: impl Into<String>) {
        self.refused
            .push(PlanLine::new(ChangeKind::Refuse, kind, name, reason));
    }

    /// Handles the resources in `existing` that are not in `wanted`: plans their removal, refuses
    /// it with a reason, or, without `removal`, reports them as remaining.
    pub(super) fn plan_unlisted(
        &mut self,
        kind: &'static str,
        field: &str,
        existing: &[Value],
        wanted: &BTreeSet<&str>,
        removal: Option<PlanRemoval<'_>>,
    ) {
        let mut remaining = NameSample::default();
        for entry in existing {
            let name = text::field(entry, field);
            if wanted.contains(name) {
                continue;
            }
            match removal.map(|removal| removal(entry)) {
                Some(Ok(Removal { call, detail })) => {
                    let line = PlanLine::new(ChangeKind::Remove, kind, name, detail);
                    self.removals.push(Action::new(line, call));
                }
                Some(Err(reason)) => self.refuse(kind, name, reason),
                None => remaining.add(name),
            }
        }

        self.keep_unlisted(kind, &remaining);
    }

    /// Reports resources that stay although the file does not list them.
    pub(super) fn keep_unlisted(&mut self, kind: &'static str, names: &NameSample) {
        if names.count > 0 {
            self.left.push(Unlisted::new(kind, names));
        }
    }
}
