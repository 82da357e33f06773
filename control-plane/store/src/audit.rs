//! The audit: the record of each change, its actor, its time and the address it came from. An entry
//! is written in the transaction of its change, and is never modified. Only an operator's command
//! removes entries, once they are exported ([`cut`]): the database refuses anything else.
//!
//! **Invariant: no change that a caller requests is committed without its entry**; a
//! [`AuthorizedTx`](super::authorized::AuthorizedTx) requires one. Entries hold no secret: they are built from the
//! public view of a resource, which never contains one.

pub mod cut;
mod read;

use serde_json::{Map, Value, json};
use sqlx::SqliteConnection;
use std::net::IpAddr;

use super::insert::{Columns, NewRow, insert};
use super::{Actor, StoreError, to_json};

pub use read::{AuditEntry, AuditQuery};

/// The maximum length of one side of an entry, in bytes. Of a longer one only the length is kept.
const MAX_LEN: usize = 64 * 1024;

/// The maximum number of entries in one statement.
const ROWS: usize = 500;

/// The origin of a request, and its id in the log.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The client's address, as far as it can be trusted.
    pub address: Option<IpAddr>,
    /// The response's `x-request-id`.
    pub request_id: Option<String>,
}

/// The resource that a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind, such as `key`.
    pub kind: &'static str,
    /// The id. `None` for a resource that exists only once.
    pub id: Option<String>,
    /// The name that people know it by.
    pub name: Option<String>,
}

impl Target {
    /// Returns the target for a resource that exists only once.
    pub fn the(kind: &'static str) -> Self {
        Self {
            kind,
            id: None,
            name: None,
        }
    }

    /// Returns the target for a resource that a caller named, and that may not exist.
    pub fn named(kind: &'static str, name: &str) -> Self {
        Self {
            kind,
            id: None,
            name: Some(name.to_owned()),
        }
    }

    /// Returns the target for a resource with an id and a name.
    pub fn new(kind: &'static str, id: &str, name: &str) -> Self {
        Self {
            kind,
            id: Some(id.to_owned()),
            name: Some(name.to_owned()),
        }
    }
}

/// A resource that has audit entries.
pub trait Audited {
    /// Returns the resource as the target of an entry.
    fn target(&self) -> Target;

    /// Returns its public fields as an object.
    fn public_fields(&self) -> Value;
}

/// One change, for its audit entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    action: &'static str,
    target: Target,
    before: Option<Value>,
    after: Option<Value>,
}

impl Event {
    /// Returns the event that an action was done to `target`, without details.
    pub fn done(action: &'static str, target: Target) -> Self {
        Self {
            action,
            target,
            before: None,
            after: None,
        }
    }

    /// Returns the event that `thing` was created.
    pub fn created(action: &'static str, thing: &impl Audited) -> Self {
        Self {
            action,
            target: thing.target(),
            before: None,
            after: Some(thing.public_fields()),
        }
    }

    /// Returns the event that `thing` was deleted.
    pub fn deleted(action: &'static str, thing: &impl Audited) -> Self {
        Self {
            action,
            target: thing.target(),
            before: Some(thing.public_fields()),
            after: None,
        }
    }

    /// Returns the event that something was edited, with the fields that differ.
    pub fn edited<T: Audited>(action: &'static str, before: &T, after: &T) -> Self {
        let (was, is) = differing(before.public_fields(), after.public_fields());
        Self {
            action,
            target: after.target(),
            before: Some(was),
            after: Some(is),
        }
    }

    /// Returns the event that an action was done to `target`, with `details`.
    pub fn noted(action: &'static str, target: Target, details: Value) -> Self {
        Self {
            action,
            target,
            before: None,
            after: Some(details),
        }
    }

    /// Adds a field with details about how it was done.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        if let Value::Object(fields) = self.after.get_or_insert_with(|| json!({})) {
            fields.insert(field.to_owned(), value);
        }
        self
    }

    /// Records that `field` changed, without its values.
    #[must_use]
    pub fn with_other(mut self, field: &str) -> Self {
        for side in [&mut self.before, &mut self.after] {
            if let Some(Value::Object(fields)) = side {
                fields.insert(field.to_owned(), json!("[redacted]"));
            }
        }
        self
    }
}

/// Returns the fields of two objects that differ.
fn differing(was: Value, is: Value) -> (Value, Value) {
    let (Value::Object(was), Value::Object(is)) = (was, is) else {
        return (Value::Null, Value::Null);
    };
    let only = |one: &Map<String, Value>, other: &Map<String, Value>| {
        let differ = one
            .iter()
            .filter(|(name, value)| other.get(*name) != Some(value));
        Value::Object(
            differ
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    };
    (only(&was, &is), only(&is, &was))
}

/// Writes an audit entry for each event.
pub(super) async fn write(
    to: &mut SqliteConnection,
    account_id: &str,
    actor: &Actor,
    origin: &Origin,
    events: &[Event],
    now: i64,
) -> Result<(), StoreError> {
    let address = origin.address.map(|address| address.to_string());
    for events in events.chunks(ROWS) {
        let row = |event| NewAuditRow {
            account_id,
            actor,
            address: address.as_deref(),
            request_id: origin.request_id.as_deref(),
            event,
            now,
        };
        let rows: Vec<_> = events.iter().map(row).collect();
        insert(&mut *to, &rows).await?;
    }
    Ok(())
}

/// An event with the values that all entries of a change have.
struct NewAuditRow<'a> {
    account_id: &'a str,
    actor: &'a Actor,
    address: Option<&'a str>,
    request_id: Option<&'a str>,
    event: &'a Event,
    now: i64,
}

impl NewRow for NewAuditRow<'_> {
    const TABLE: &'static str = "audit";

    fn columns(&self, columns: &mut Columns) -> Result<(), StoreError> {
        let (event, target) = (self.event, &self.event.target);
        columns
            .set("account_id", self.account_id)?
            .set("at", self.now)?
            .set("actor_kind", self.actor.kind())?
            .set("actor_id", self.actor.id())?
            .set("actor_name", self.actor.name())?
            .set("action", event.action)?
            .set("target_kind", target.kind)?
            .set("target_id", target.id.as_ref())?
            .set("target_name", target.name.as_ref())?
            .set("before", kept(event.before.as_ref())?)?
            .set("after", kept(event.after.as_ref())?)?
            .set("source_address", self.address)?
            .set("request_id", self.request_id)?;
        Ok(())
    }
}

/// Returns one side of an entry as it is stored.
fn kept(side: Option<&Value>) -> Result<Option<String>, StoreError> {
    let Some(side) = side else { return Ok(None) };
    let text = to_json(side)?;
    if text.len() <= MAX_LEN {
        return Ok(Some(text));
    }
    Ok(Some(to_json(&json!({ "omitted_bytes": text.len() }))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_fields_are_left_out() {
        let (was, is) = differing(
            json!({"a": 1, "b": [1], "c": null}),
            json!({"a": 1, "b": [2], "d": true}),
        );
        assert_eq!(
            (was, is),
            (json!({"b": [1], "c": null}), json!({"b": [2], "d": true}))
        );
    }

    #[test]
    fn long_audit_values_show_their_length() {
        let long = Value::String("x".repeat(MAX_LEN));
        assert_eq!(
            kept(Some(&long)).unwrap().unwrap(),
            r#"{"omitted_bytes":65538}"#
        );
        assert_eq!(kept(Some(&json!({"a": 1}))).unwrap().unwrap(), r#"{"a":1}"#);
        assert_eq!(kept(None).unwrap(), None);
    }
}
