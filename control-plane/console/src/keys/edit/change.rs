//! Computes the change of a key from the differences between the sent form and the form of the
//! current key.

use latchkey_policy::limit::{Limits, Window};
use serde_json::{Map, Value, json};

use crate::api::Refusal;
use crate::form::Fields;
use crate::keys::view::Key;
use crate::keys::{expiry, limit_field};

/// The form's fields for the current key.
pub(super) struct CurrentFields(Fields);

impl CurrentFields {
    /// Fills in the form for `key`. Limits equal to those in `inherited`, which apply to a key
    /// without own limits, are left empty.
    pub(super) fn new(key: &Key, inherited: Limits) -> Self {
        let end = key.expires_at.as_deref();
        let mut fields = vec![
            ("name".to_owned(), key.name.clone()),
            (
                "description".to_owned(),
                key.description.clone().unwrap_or_default(),
            ),
            (
                "expires".to_owned(),
                if end.is_some() { "date" } else { "never" }.to_owned(),
            ),
            (
                "expires_at".to_owned(),
                end.and_then(|end| end.get(..10))
                    .unwrap_or_default()
                    .to_owned(),
            ),
        ];

        if !key.disabled {
            fields.push(("active".to_owned(), "true".to_owned()));
        }

        for window in Window::ALL {
            let own = key
                .limits
                .get(window.as_str())
                .filter(|limit| inherited.get(window) != Some(**limit));
            fields.extend(own.map(|own| (limit_field(window), own.to_string())));
        }

        Self(fields.into_iter().collect())
    }

    /// Returns the fields.
    pub(super) fn fields(&self) -> &Fields {
        &self.0
    }

    /// Returns the body of the API call, with the fields that differ in `sent`.
    pub(super) fn change(&self, sent: &Fields) -> Result<Map<String, Value>, Refusal> {
        let mut change = Map::new();
        if self.differs(sent, "name") {
            change.insert("name".to_owned(), json!(sent.text("name")));
        }
        if self.differs(sent, "description") {
            let text = sent.given("description").map(unix_lines);
            change.insert("description".to_owned(), json!(text));
        }

        let day =
            |fields: &Fields| expiry::is_set(fields).then(|| fields.text("expires_at").to_owned());
        let new_day = day(sent);
        if new_day != day(&self.0) {
            change.insert(
                "expires_at".to_owned(),
                new_day.map(|_| end(sent)).transpose()?.into(),
            );
        }

        if self.differs(sent, "active") {
            change.insert("active".to_owned(), json!(sent.is_set("active")));
        }

        let windows = Window::ALL
            .into_iter()
            .filter(|window| self.differs(sent, &limit_field(*window)));
        let limits =
            windows.map(|window| Ok((window.as_str().to_owned(), requests(sent, window)?)));
        let limits: Map<_, _> = limits.collect::<Result<_, Refusal>>()?;
        if !limits.is_empty() {
            change.insert("limits".to_owned(), limits.into());
        }

        Ok(change)
    }

    fn differs(&self, sent: &Fields, name: &str) -> bool {
        unix_lines(sent.text(name)) != unix_lines(self.0.text(name))
    }
}

/// Replaces the line breaks of browsers, which are two characters.
fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// Returns the expiry. A text that is not a date is passed on, and the API refuses it.
fn end(sent: &Fields) -> Result<Value, Refusal> {
    match sent.text("expires_at") {
        "" => Err(Refusal::for_field("expires_at", "Choose a date.")),
        day => Ok(expiry::end(sent).map_or_else(|| json!(day), |end| json!(end))),
    }
}

/// Returns the limit of a window; `null`, which removes the key's own limit, if the field is empty.
fn requests(sent: &Fields, window: Window) -> Result<Value, Refusal> {
    let name = limit_field(window);
    let Some(text) = sent.given(&name) else {
        return Ok(Value::Null);
    };

    let number = text.parse::<u32>().ok().filter(|number| *number > 0);
    let wrong = || {
        Refusal::for_field(
            &name,
            "Enter a whole number from 1 to 4,294,967,295, or leave the field empty.",
        )
    };
    number.map(Value::from).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(change: Value) -> Key {
        let mut key = json!({
            "key_id": "key_1", "name": "CI", "description": "one\ntwo", "key_prefix": "lk_live_Ab...", "secrets": [],
            "environment": "live", "tier": "basic", "limits": { "minute": 100, "day": 500 }, "scope": "all", "roles": [],
            "permissions": [], "allowed_subaccounts": [], "allowed_ips": [], "denied_ips": [],
            "expires_at": "2027-03-01T10:30:00Z", "owner": "user_1", "active": true, "disabled": false,
            "created_at": "2027-01-01T00:00:00Z", "updated_at": "2027-01-01T00:00:00Z", "last_used_at": null,
            "last_used_ip": null,
        });

        key.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        serde_json::from_value(key).unwrap()
    }

    /// Returns the change that the form of `key` makes with other texts in these fields.
    fn changed(key: &Key, other: &[(&str, &str)]) -> Result<Value, String> {
        let inherited = Limits::default().with(Window::Minute, Some(100));
        let current = CurrentFields::new(key, inherited);
        let kept = current
            .fields()
            .iter()
            .filter(|(name, _)| other.iter().all(|(changed, _)| changed != name));

        let sent = kept
            .chain(other.iter().copied())
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();

        current
            .change(&sent)
            .map(Value::from)
            .map_err(|refusal| refusal.error)
    }

    #[test]
    fn unchanged_form_changes_nothing() {
        let key = key(json!({}));
        assert_eq!(changed(&key, &[]), Ok(json!({})));
        assert_eq!(
            changed(&key, &[("description", "one\r\ntwo"), ("name", " CI ")]),
            Ok(json!({}))
        );

        assert_eq!(
            CurrentFields::new(&key, Limits::default())
                .fields()
                .text("limits.minute"),
            "100"
        );
    }

    #[test]
    fn only_differing_fields_are_changed() {
        let key = key(json!({}));
        for (field, text, change) in [
            ("name", "CD", json!({ "name": "CD" })),
            ("description", "", json!({ "description": null })),
            (
                "description",
                "one\r\n2",
                json!({ "description": "one\n2" }),
            ),
            ("expires", "never", json!({ "expires_at": null })),
            (
                "expires_at",
                "2027-01-15",
                json!({ "expires_at": 1_800_057_599 }),
            ),
            ("expires_at", "soon", json!({ "expires_at": "soon" })),
            ("active", "", json!({ "active": false })),
            ("limits.minute", "7", json!({ "limits": { "minute": 7 } })),
            ("limits.day", "", json!({ "limits": { "day": null } })),
            (
                "limits.month",
                "4294967295",
                json!({ "limits": { "month": u32::MAX } }),
            ),
        ] {
            assert_eq!(
                changed(&key, &[(field, text)]),
                Ok(change),
                "{field}: {text}"
            );
        }

        assert_eq!(
            changed(&key, &[("expires_at", "")]),
            Err("Choose a date.".to_owned())
        );
        for text in ["-1", "0", "4294967296", "1.5", "many"] {
            let error = changed(&key, &[("limits.month", text)]).unwrap_err();
            assert!(
                error.starts_with("Enter a whole number from 1"),
                "{text}: {error}"
            );
        }
    }

    /// The key is disabled and has expired, and its expiry moves into the future.
    #[test]
    fn extended_disabled_key_stays_disabled() {
        let key =
            key(json!({ "expires_at": "2027-01-01T23:59:59Z", "active": false, "disabled": true }));
        let longer = ("expires_at", "2027-02-15");
        assert_eq!(
            changed(&key, &[longer]),
            Ok(json!({ "expires_at": 1_802_735_999 }))
        );
        assert_eq!(
            changed(&key, &[longer, ("active", "true")]),
            Ok(json!({ "expires_at": 1_802_735_999, "active": true }))
        );
    }
}
