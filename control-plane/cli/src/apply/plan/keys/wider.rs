//! Finds the restrictions of a key that an edit loosens.

use serde_json::{Map, Value, json};

use super::ip_ranges::{any_added, any_enabled, normalized};
use crate::apply::plan::tiers::raised;
use crate::timestamp;

/// Describes the restrictions that the edit `body` loosens. `expiry` is the key's current one.
pub(super) fn loosened(
    body: &Map<String, Value>,
    existing: &Value,
    expiry: Option<i64>,
) -> Vec<String> {
    let mut wider = Vec::new();
    if let Some(renewed) = body.get("expires_at") {
        let renewed = renewed.as_str().and_then(timestamp::second);
        if renewed.unwrap_or(i64::MAX) > expiry.unwrap_or(i64::MAX) {
            wider.push("expires later".to_owned());
        }
    }
    if body.get("active") == Some(&json!(true)) {
        wider.push("is enabled".to_owned());
    }
    if allows_other_addresses(body, existing) {
        wider.push("may be used from other addresses".to_owned());
    }
    if let Some(limits) = body.get("limits") {
        let mut after = existing["limits"].clone();
        for (window, requests) in limits.as_object().into_iter().flatten() {
            after[window] = requests.clone();
        }
        wider.extend(raised(&existing["limits"], &after));
    }

    wider
}

/// Returns whether the key can be used from addresses from which it cannot be used now.
fn allows_other_addresses(body: &Map<String, Value>, existing: &Value) -> bool {
    let before_and_after = |field: &str| {
        let before = normalized(&existing[field]);
        let after = body.get(field).map_or_else(|| before.clone(), normalized);
        (before, after)
    };
    let (allowed, allowed_after) = before_and_after("allowed_ips");
    let (denied, denied_after) = before_and_after("denied_ips");
    let (had_allowed, has_allowed) = (any_enabled(&allowed), any_enabled(&allowed_after));

    let is_narrower = !any_added(&allowed, &allowed_after) && (has_allowed || !had_allowed);
    // Denied ranges have no effect if there is an allowed range.
    let denies_less = !has_allowed && any_added(&denied_after, &denied);
    let allows_first = !had_allowed && has_allowed;

    (!is_narrower && !allows_first) || denies_less || (allows_first && any_enabled(&denied))
}
