//! Route rules: one document, put as a whole.

use reqwest::Method;
use serde_json::Value;

use super::super::document::{Document, canonical};
use super::super::state::State;
use super::{Action, Call, Draft, Line, Sign, difference};
use crate::cli::text;

pub(super) fn plan(document: &Document, state: &State, draft: &mut Draft) {
    let Some(wanted) = &document.routes else { return };
    // What cannot be read is of another version, and no reason to keep it.
    let there_are = canonical(&state.routes).unwrap_or_default();
    if &there_are != wanted {
        let call = Call::new(Method::PUT, ["routes"], Some(wanted.clone()));
        draft.actions.push(Action::new(Line::new(Sign::Edit, "routes", "", detail(&there_are, wanted)), call));
    }
}

/// `rules 2, 3 differ, 3 rules → 4 rules, unmatched valid_key → deny`
fn detail(from: &Value, to: &Value) -> String {
    let (before, after) = (text::entries(from, "rules"), text::entries(to, "rules"));
    let both = before.iter().zip(after).enumerate();
    let differ: Vec<_> = both.filter(|(_, (from, to))| from != to).map(|(index, _)| (index + 1).to_string()).collect();
    let mut details = Vec::new();
    match differ.as_slice() {
        [] => {}
        [one] => details.push(format!("rule {one} differs")),
        several => details.push(format!("rules {} differ", several.join(", "))),
    }
    if before.len() != after.len() {
        details.push(format!("{} rules → {} rules", before.len(), after.len()));
    }
    details.extend(difference("unmatched", &from["unmatched"], &to["unmatched"]));
    details.extend(difference("path_case", &from["path_case"], &to["path_case"]));
    details.join(", ")
}
