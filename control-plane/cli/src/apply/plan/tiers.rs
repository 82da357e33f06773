//! Plans the change of the tiers, one document that is replaced as a whole. Tiers that are not in
//! the file stay at its end, unless they are pruned.

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::draft::Draft;
use super::{Action, Call, ChangeKind, PlanInputs, PlanLine};
use crate::apply::document::Document;
use crate::apply::state::{State, named};
use crate::key::limits;
use crate::text;

/// Plans the changes, and returns the names of the tiers whose limits change.
pub(super) fn plan(
    document: &Document,
    state: &State,
    inputs: &PlanInputs<'_>,
    draft: &mut Draft,
) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    let Some(tiers) = &document.tiers else {
        return changed;
    };

    let wanted: Vec<Value> = tiers.iter().map(|tier| json!(tier)).collect();
    let names: BTreeSet<_> = tiers.iter().map(|tier| tier.name.as_str()).collect();
    let rest = state
        .tiers
        .iter()
        .filter(|tier| !names.contains(text::field(tier, "name")));
    let all: Vec<Value> = wanted.iter().chain(rest.clone()).cloned().collect();
    let mut lines = Vec::new();
    for line in wanted.iter().filter_map(|tier| tier_line(tier, state)) {
        if line.change == ChangeKind::Edit {
            changed.insert(line.name.clone());
        }
        lines.push(line);
    }
    if lines.is_empty() && all != state.tiers {
        lines.push(PlanLine::new(
            ChangeKind::Edit,
            "tiers",
            "",
            "in another order",
        ));
    }

    draft.actions.extend(in_one_call(lines, &all));
    if inputs.prune {
        let lines = rest
            .map(|tier| PlanLine::new(ChangeKind::Remove, "tier", text::field(tier, "name"), ""))
            .collect();
        draft.removals.extend(in_one_call(lines, &wanted));
    } else {
        draft.plan_unlisted("tier", "name", &state.tiers, &names, None);
    }

    changed
}

/// Describes the creation or the edit of a tier; `None` if it is as the file describes it.
fn tier_line(tier: &Value, state: &State) -> Option<PlanLine> {
    let name = text::field(tier, "name");
    let wanted = &tier["limits"];
    let Some(existing) = named(&state.tiers, "name", name) else {
        let line = PlanLine::new(ChangeKind::Create, "tier", name, limits(wanted));
        return Some(line);
    };
    let existing = &existing["limits"];
    if existing == wanted {
        return None;
    }

    let detail = format!("limits {} → {}", limits(existing), limits(wanted));
    let line = PlanLine::new(ChangeKind::Edit, "tier", name, detail);
    Some(line.with_wider(raised(existing, wanted)))
}

/// Describes the windows for which `after` allows more requests than `before`.
pub(super) fn raised(before: &Value, after: &Value) -> Vec<String> {
    let raised = |window: &str| match (before[window].as_u64(), after[window].as_u64()) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after > before,
    };
    let windows = ["minute", "hour", "day", "month"];
    windows
        .into_iter()
        .filter(|window| raised(window))
        .map(|window| format!("more requests a {window}"))
        .collect()
}

/// Combines all lines into one call.
fn in_one_call(lines: Vec<PlanLine>, tiers: &[Value]) -> impl Iterator<Item = Action> {
    let mut call = Some(Call::new(
        Method::PUT,
        ["tiers"],
        Some(json!({ "tiers": tiers })),
    ));
    lines
        .into_iter()
        .map(move |line| Action::new(line, call.take()))
}
