//! Plans the edit of a key.

use latchkey_model::clock::rfc3339;
use latchkey_policy::limit::Window;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{KIND, PlanContext, ensure_in_future, ip_ranges, wider};
use crate::apply::document::{Key, Second};
use crate::apply::plan::compare::difference;
use crate::apply::plan::{Action, Call, ChangeKind, PlanInputs, PlanLine};
use crate::{text, timestamp};

/// The body of an edit, with a text for each difference.
#[derive(Default)]
struct Changes {
    body: Map<String, Value>,
    details: Vec<String>,
}

/// Plans the edit of a key; `None` if the key is as the file describes it.
pub(super) fn plan(
    key: &Key,
    existing: &Value,
    context: &PlanContext<'_>,
) -> Result<Option<Action>, String> {
    let expiry = timestamp::second(text::field(existing, "expires_at"));
    let Changes { body, details } = changes(key, existing, expiry, context)?;
    if details.is_empty() {
        return Ok(None);
    }

    let wider = wider::loosened(&body, existing, expiry);
    let call = Call::new(
        Method::PATCH,
        ["keys", text::field(existing, "key_id")],
        Some(Value::Object(body)),
    );
    let line = PlanLine::new(ChangeKind::Edit, KIND, &key.name, details.join(", "));

    Ok(Some(Action::new(line.with_wider(wider), call)))
}

/// Returns the differences between the key in the file and the existing key.
fn changes(
    key: &Key,
    existing: &Value,
    expiry: Option<i64>,
    context: &PlanContext<'_>,
) -> Result<Changes, String> {
    let mut changes = Changes::default();
    if let Some(wanted) = &key.description {
        changes.set("description", &existing["description"], json!(wanted));
    }
    if let Some(wanted) = key.expires_at {
        changes.set_expiry(wanted, existing, expiry, context.inputs)?;
    }

    for (field, wanted) in [
        ("allowed_ips", &key.allowed_ips),
        ("denied_ips", &key.denied_ips),
    ] {
        if let Some(wanted) = wanted {
            let before = ip_ranges::normalized(&existing[field]);
            let detail = difference(field, &before, &ip_ranges::ranges(wanted));
            changes.add(field, detail, json!(wanted));
        }
    }
    if let Some(wanted) = key.active {
        changes.set("active", &existing["active"], json!(wanted));
    }

    changes.set_limits(key, existing, context);
    Ok(changes)
}

impl Changes {
    /// Adds a field if there is a difference to describe.
    fn add(&mut self, field: &str, detail: Option<String>, wanted: Value) {
        if let Some(detail) = detail {
            self.details.push(detail);
            self.body.insert(field.to_owned(), wanted);
        }
    }

    /// Adds a field if its value differs.
    fn set(&mut self, field: &str, existing: &Value, wanted: Value) {
        self.add(field, difference(field, existing, &wanted), wanted);
    }

    /// Adds the expiry if it differs. Refuses one that has passed.
    fn set_expiry(
        &mut self,
        wanted: Option<Second>,
        existing: &Value,
        expiry: Option<i64>,
        inputs: &PlanInputs<'_>,
    ) -> Result<(), String> {
        if wanted.map(|Second(second)| second) == expiry {
            return Ok(());
        }
        ensure_in_future(wanted, inputs)?;
        let wanted = json!(wanted.map(|Second(second)| rfc3339(second)));
        self.set("expires_at", &existing["expires_at"], wanted);
        Ok(())
    }

    /// Adds the limits that differ. The API shows the limits in force, the key's own or its tier's:
    /// if the tier's changes, the key's own limit is set even if it looks right.
    fn set_limits(&mut self, key: &Key, existing: &Value, context: &PlanContext<'_>) {
        let Some(limits) = &key.limits else { return };
        let tier = text::field(existing, "tier");
        let tier_changes = context.changed_tiers.contains(tier);

        let mut limits_body = Map::new();
        for window in Window::ALL {
            let Some(requests) = limits.0.get(window) else {
                continue;
            };
            let window = window.as_str();
            let field = format!("limits.{window}");
            let detail = difference(&field, &existing["limits"][window], &json!(requests));
            let detail = detail.or_else(|| {
                tier_changes
                    .then(|| format!("{field} {requests}, set on the key because the tier changes"))
            });
            if let Some(detail) = detail {
                self.details.push(detail);
                limits_body.insert(window.to_owned(), json!(requests));
            }
        }

        if !limits_body.is_empty() {
            self.body
                .insert("limits".to_owned(), Value::Object(limits_body));
        }
    }
}
