//! `latchkey audit`: who changed what, when and from where.

use clap::Args;
use serde_json::Value;

use super::error::CommandError;
use super::exit::Exit;
use super::pages::Extent;
use super::query::Query;
use super::timestamp::Timestamp;
use super::{Context, Run, text};

/// Arguments of `audit`. The newest entries come first.
#[derive(Clone, Args)]
pub struct Audit {
    /// Only entries since this time: RFC 3339, Unix seconds, or a past span such as 24h
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only entries before this time, in the same formats
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only entries of the user or key with this id
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only entries of this action, such as key.revoke, or of all actions on keys with key
    #[arg(long)]
    action: Option<String>,
    /// Only entries about the resource with this id
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

impl Audit {
    fn query(&self) -> Query {
        Query::default()
            .with("since", self.since.map(Timestamp::in_past))
            .with("until", self.until.map(Timestamp::in_past))
            .with("actor", self.actor.as_ref())
            .with("action", self.action.as_ref())
            .with("target", self.target.as_ref())
    }
}

impl Run for Audit {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        self.extent
            .show(
                context,
                (&["audit"], "entries"),
                self.query(),
                HEADINGS,
                line,
            )
            .await
    }
}

const HEADINGS: [&str; 6] = ["TIME", "ACTOR", "ACTION", "TARGET", "CHANGED", "FROM"];

fn line(entry: &Value) -> [String; 6] {
    [
        text::date(&entry["at"]),
        named(&entry["actor"]),
        text::inline(&entry["action"]),
        named(&entry["target"]),
        changed(&entry["before"], &entry["after"]),
        text::inline(&entry["source_address"]),
    ]
}

/// Describes an actor or target, such as `user admin@localhost`, by its id if it has no name.
fn named(thing: &Value) -> String {
    let name = if thing["name"].is_string() {
        &thing["name"]
    } else {
        &thing["id"]
    };
    match (thing["type"].as_str(), name) {
        (None, _) => text::NOTHING.to_owned(),
        (Some(kind), Value::Null) => text::plain(kind),
        (Some(kind), name) => format!("{} {}", text::plain(kind), text::inline(name)),
    }
}

/// Returns the names of the changed fields.
fn changed(before: &Value, after: &Value) -> String {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return text::NOTHING.to_owned();
    };

    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    text::joined(
        names
            .filter(|name| before.get(*name) != after.get(*name))
            .map(|name| text::plain(name)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn audit_entry_is_one_line() {
        let entry = json!({
            "at": "2027-01-15T08:00:00Z", "actor": {"type": "user", "id": "usr_1", "name": "a@b.c"},
            "action": "key.edited", "target": {"type": "key", "id": "key_1", "name": "CI\u{1b}c"},
            "before": {"name": "CI", "active": true}, "after": {"name": "CI", "active": false, "tier": "pro"},
            "source_address": "192.0.2.1",
        });
        let made = json!({
            "at": "2027-01-15T08:00:00Z", "actor": {"type": "system"}, "action": "key.expired",
            "target": {"type": "key", "id": "key_2", "name": null}, "before": null, "after": null,
        });
        let shown = [
            "2027-01-15 08:00",
            "user a@b.c",
            "key.edited",
            "key CI\\u{1b}c",
            "active, tier",
            "192.0.2.1",
        ];
        assert_eq!(line(&entry), shown);
        assert_eq!(
            line(&made),
            [
                "2027-01-15 08:00",
                "system",
                "key.expired",
                "key key_2",
                "-",
                "-"
            ]
        );
    }
}
