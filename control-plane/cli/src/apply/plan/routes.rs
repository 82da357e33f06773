//! Plans the change of the route rules, one document that is replaced as a whole.

mod rules;
mod wider;

use latchkey_model::json;
use latchkey_model::route_document::RouteDocument;
use latchkey_policy::route::RouteRules;
use reqwest::Method;
use serde_json::Value;

use super::compare::difference;
use super::draft::Draft;
use super::{Action, Call, ChangeKind, PlanLine};
use crate::apply::document::{Document, canonical};
use crate::apply::state::State;
use crate::text;

pub(super) fn plan(document: &Document, state: &State, draft: &mut Draft) {
    let Some(wanted) = &document.routes else {
        return;
    };

    // A document that cannot be parsed is from another version, and is replaced.
    let existing = canonical(&state.routes).unwrap_or_default();
    if &existing != wanted {
        let call = Call::new(Method::PUT, ["routes"], Some(wanted.clone()));
        let mut line = PlanLine::new(ChangeKind::Edit, "routes", "", detail(&existing, wanted));
        line.differences = rules::differences(
            text::entries(&existing, "rules"),
            text::entries(wanted, "rules"),
        );
        line.wider = match (record(&existing), record(wanted)) {
            (Some(before), Some(after)) => wider::requests(&before, &after),
            _ => vec!["the current rules cannot be read, so the changes are unknown".to_owned()],
        };
        draft.actions.push(Action::new(line, call));
    }
}

fn record(document: &Value) -> Option<RouteRules> {
    json::read::<RouteDocument>(document.to_string().as_bytes())
        .ok()?
        .check()
        .ok()
}

/// Describes the change: `3 rules → 4 rules, unmatched valid_key → deny`.
fn detail(from: &Value, to: &Value) -> String {
    let (before, after) = (text::entries(from, "rules"), text::entries(to, "rules"));
    let mut details = Vec::new();
    if before.len() != after.len() {
        details.push(format!("{} rules → {} rules", before.len(), after.len()));
    }

    details.extend(difference(
        "unmatched",
        &from["unmatched"],
        &to["unmatched"],
    ));
    details.extend(difference(
        "path_case",
        &from["path_case"],
        &to["path_case"],
    ));
    details.join(", ")
}
