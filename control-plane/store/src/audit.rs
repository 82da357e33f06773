//! The audit: who changed what, when and from where. An entry is written in the transaction of what
//! it tells of, and is never changed. Only an operator's command removes entries, once they are
//! exported ([`cut`]): the database refuses anything else.
//!
//! **Invariant: no change that somebody asks for is committed without its entry**; a
//! [`Deed`](super::acting::Deed) asks for one. Entries hold no secret: they are made from what is
//! shown of things, and of a secret nothing is.

pub mod cut;
mod read;
mod told;

use serde_json::{Map, Value, json};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::net::IpAddr;

use super::{Actor, StoreError, to_json};

pub use read::{AuditEntry, AuditQuery};
pub use told::{Target, Told};

/// Bytes of one side of an entry that are kept. Of what is longer only the length is told.
const MAX_LEN: usize = 64 * 1024;

/// Entries in one statement.
const ROWS: usize = 500;

/// Where a request came from, and what the log calls it.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The client's address, as far as it can be trusted.
    pub address: Option<IpAddr>,
    /// What the answer's `x-request-id` says.
    pub request_id: Option<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    action: &'static str,
    target: Target,
    before: Option<Value>,
    after: Option<Value>,
}

impl Event {
    /// Something was done to `target` of which there is nothing more to say.
    pub fn done(action: &'static str, target: Target) -> Self {
        Self {
            action,
            target,
            before: None,
            after: None,
        }
    }

    /// It is there since.
    pub fn created(action: &'static str, thing: &impl Told) -> Self {
        Self {
            action,
            target: thing.target(),
            before: None,
            after: Some(thing.told()),
        }
    }

    /// It is no more.
    pub fn deleted(action: &'static str, thing: &impl Told) -> Self {
        Self {
            action,
            target: thing.target(),
            before: Some(thing.told()),
            after: None,
        }
    }

    /// It is different; told of are the fields that are.
    pub fn edited<T: Told>(action: &'static str, before: &T, after: &T) -> Self {
        let (was, is) = differing(before.told(), after.told());
        Self {
            action,
            target: after.target(),
            before: Some(was),
            after: Some(is),
        }
    }

    /// Something happened to `target`, of which `details` tell more.
    pub fn noted(action: &'static str, target: Target, details: Value) -> Self {
        Self {
            action,
            target,
            before: None,
            after: Some(details),
        }
    }

    /// The same, with one thing more to say of how it was done.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        if let Value::Object(fields) = self.after.get_or_insert_with(|| json!({})) {
            fields.insert(field.to_owned(), value);
        }
        self
    }

    /// The same, with `field` said to be another, though not which.
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

/// What of two objects is not the same in both.
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

/// Writes an entry for each event.
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
        let sides = events
            .iter()
            .map(|event| Ok((kept(event.before.as_ref())?, kept(event.after.as_ref())?)));
        let sides = sides.collect::<Result<Vec<_>, StoreError>>()?;
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO audit (account_id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, \
             target_name, before, after, source_address, request_id) ",
        );
        query.push_values(
            events.iter().zip(sides),
            |mut row, (Event { action, target, .. }, (before, after))| {
                row.push_bind(account_id)
                    .push_bind(now)
                    .push_bind(actor.kind())
                    .push_bind(actor.id());
                row.push_bind(actor.name())
                    .push_bind(*action)
                    .push_bind(target.kind)
                    .push_bind(&target.id);
                row.push_bind(&target.name)
                    .push_bind(before)
                    .push_bind(after)
                    .push_bind(&address);
                row.push_bind(&origin.request_id);
            },
        );
        query.build().execute(&mut *to).await?;
    }
    Ok(())
}

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
    fn what_is_the_same_before_and_after_is_left_out() {
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
    fn what_is_too_long_is_told_of_by_its_length() {
        let long = Value::String("x".repeat(MAX_LEN));
        assert_eq!(
            kept(Some(&long)).unwrap().unwrap(),
            r#"{"omitted_bytes":65538}"#
        );
        assert_eq!(kept(Some(&json!({"a": 1}))).unwrap().unwrap(), r#"{"a":1}"#);
        assert_eq!(kept(None).unwrap(), None);
    }
}
