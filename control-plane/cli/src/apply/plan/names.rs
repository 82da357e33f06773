//! Plans the changes of services and subaccounts, which have hardly any other attributes than their
//! names.

use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;

use super::compare::difference;
use super::draft::{Draft, Removal};
use super::{Action, Call, ChangeKind, PlanInputs, PlanLine};
use crate::apply::document::{Document, Service};
use crate::apply::state::{State, named};
use crate::text;

pub(super) fn services(
    document: &Document,
    state: &State,
    inputs: &PlanInputs<'_>,
    draft: &mut Draft,
) {
    let Some(services) = &document.services else {
        return;
    };

    for service in services {
        draft.actions.extend(service_action(service, state));
    }

    let wanted = services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    let removal = |service: &_| {
        Ok(Removal::from(Call::new(
            Method::DELETE,
            ["services", text::field(service, "name")],
            None,
        )))
    };
    draft.plan_unlisted(
        "service",
        "name",
        &state.services,
        &wanted,
        if inputs.prune { Some(&removal) } else { None },
    );
}

/// Plans the creation or the edit of a service; `None` if it is as the file describes it.
fn service_action(service: &Service, state: &State) -> Option<Action> {
    let name = service.name.as_str();
    let description = json!(service.description.as_ref().and_then(Option::as_ref));
    let Some(existing) = named(&state.services, "name", name) else {
        let body = json!({ "name": name, "description": description });
        let line = PlanLine::new(ChangeKind::Create, "service", name, "");
        let call = Call::new(Method::POST, ["services"], Some(body));
        return Some(Action::new(line, call));
    };

    service.description.as_ref()?;
    let detail = difference("description", &existing["description"], &description)?;
    let body = json!({ "description": description });
    let line = PlanLine::new(ChangeKind::Edit, "service", name, detail);
    let call = Call::new(Method::PATCH, ["services", name], Some(body));
    Some(Action::new(line, call))
}

/// Plans the changes of subaccounts, and returns their names after the plan.
pub(super) fn subaccounts<'d>(
    document: &'d Document,
    state: &'d State,
    inputs: &PlanInputs<'_>,
    draft: &mut Draft,
) -> BTreeSet<&'d str> {
    let existing = state
        .subaccounts
        .iter()
        .map(|subaccount| text::field(subaccount, "name"));
    let Some(subaccounts) = &document.subaccounts else {
        return existing.collect();
    };

    let wanted: BTreeSet<_> = subaccounts
        .iter()
        .map(|subaccount| subaccount.name.as_str())
        .collect();
    for subaccount in subaccounts {
        if named(&state.subaccounts, "name", &subaccount.name).is_none() {
            let call = Call::new(
                Method::POST,
                ["subaccounts"],
                Some(json!({ "name": subaccount.name })),
            );
            draft.actions.push(Action::new(
                PlanLine::new(ChangeKind::Create, "subaccount", &subaccount.name, ""),
                call,
            ));
        }
    }

    let removal = |subaccount: &_| {
        let path = ["subaccounts", text::field(subaccount, "subaccount_id")];
        Ok(Removal::from(Call::new(Method::DELETE, path, None)))
    };
    draft.plan_unlisted(
        "subaccount",
        "name",
        &state.subaccounts,
        &wanted,
        if inputs.prune { Some(&removal) } else { None },
    );
    if inputs.prune {
        wanted
    } else {
        wanted.into_iter().chain(existing).collect()
    }
}
