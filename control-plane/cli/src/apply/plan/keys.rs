//! Plans changes of keys by name. Attributes that cannot be edited are only compared; others are
//! edited. An expired key does not hold its name: it stays as it is, and another key is created.

mod create;
mod edit;
mod fixed;
mod ip_ranges;
mod wider;

use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;

use super::draft::{Draft, Removal};
use super::{Call, PlanInputs};
use crate::apply::document::{Document, Second};
use crate::apply::state::State;
use crate::key::has_expired;
use crate::text;

const KIND: &str = super::KEYS;

/// The inputs of the plan, and its results so far that the plan for keys needs.
pub(super) struct PlanContext<'a> {
    pub(super) inputs: &'a PlanInputs<'a>,
    /// The names of the subaccounts after the plan.
    pub(super) subaccounts: &'a BTreeSet<&'a str>,
    /// The names of the tiers whose limits change.
    pub(super) changed_tiers: &'a BTreeSet<String>,
}

pub(super) fn plan(
    document: &Document,
    state: &State,
    context: &PlanContext<'_>,
    draft: &mut Draft,
) {
    let Some(keys) = &document.keys else { return };
    let PlanInputs { now, prune, .. } = *context.inputs;

    for key in keys {
        let (expired, valid): (Vec<_>, Vec<_>) = state
            .keys
            .iter()
            .filter(|existing| text::field(existing, "name") == key.name)
            .partition(|existing| has_expired(existing, now));
        let planned = match valid.first() {
            // The key is expired, as the file requires.
            None if !expired.is_empty() && key.is_to_be_expired(now) => Ok(None),
            None => create::plan(key, expired.first().copied(), context).map(Some),
            Some(existing) => match fixed::difference(key, existing, state) {
                Some(reason) => Err(reason),
                None => edit::plan(key, existing, context),
            },
        };
        match planned {
            Ok(action) => draft.actions.extend(action),
            Err(reason) => draft.refuse(KIND, &key.name, reason),
        }
    }

    draft.keep_unlisted(KIND, &state.other_keys);
    let wanted = keys.iter().map(|key| key.name.as_str()).collect();
    let removal = |key: &_| removal(key, state);
    draft.plan_unlisted(
        KIND,
        "name",
        &state.keys,
        &wanted,
        if prune { Some(&removal) } else { None },
    );
}

/// Plans the revocation of a key. Refuses to revoke the key that the file is applied with.
fn removal(key: &Value, state: &State) -> Result<Removal, String> {
    let id = text::field(key, "key_id");
    if state.is_caller("key_id", id) {
        return Err("the file is applied with this key, so it cannot be revoked".to_owned());
    }
    Ok(Call::new(Method::DELETE, ["keys", id], None).into())
}

fn ensure_in_future(expiry: Option<Second>, inputs: &PlanInputs<'_>) -> Result<(), String> {
    match expiry {
        Some(Second(second)) if second <= inputs.now => {
            Err("`expires_at` must be in the future".to_owned())
        }
        _ => Ok(()),
    }
}
