//! `latchkey key import` and `latchkey key export`: keys in files, without their secrets.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use super::list::Filter;
use crate::cli::Context;
use crate::cli::arguments::Wait;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::Progress;
use crate::cli::{csv, document, output, pages, text};

/// What the API takes at once. Each batch is taken as a whole or not at all.
const BATCH: usize = 1_000;

/// What is between the entries of a list in CSV.
const SEPARATOR: char = ';';

/// Fields that are lists.
const LISTS: [&str; 5] = ["roles", "permissions", "allowed_subaccounts", "allowed_ips", "denied_ips"];

/// Fields that are limits, by their windows.
const WINDOWS: [(&str, &str); 4] =
    [("limit_minute", "minute"), ("limit_hour", "hour"), ("limit_day", "day"), ("limit_month", "month")];

/// Fields that are texts, or lists, of what is imported.
const FIELDS: [&str; 13] = [
    "sha256",
    "key_prefix",
    "name",
    "description",
    "environment",
    "tier",
    "scope",
    "roles",
    "permissions",
    "allowed_subaccounts",
    "allowed_ips",
    "denied_ips",
    "expires_at",
];

/// What is exported besides.
const EXPORTED: [&str; 7] = ["key_id", "owner", "active", "created_at", "updated_at", "last_used_at", "revoked_at"];

/// Forms of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A list of objects, as the API has them
    Json,
    /// A line for each key under a line of names; lists are separated by semicolons
    Csv,
}

/// Where the keys are.
#[derive(Clone, Args)]
pub struct Import {
    /// A file of JSON, YAML or CSV, or - for stdin: `sha256` and whatever a key can have, such as `name`
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The file's form; told by its name unless said
    #[arg(long)]
    format: Option<Format>,
    #[command(flatten)]
    wait: Wait,
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let keys = self.read()?;
        let (mut imported, mut exit, mut progress) = (0_usize, Exit::Done, Progress::default());
        for batch in keys.chunks(BATCH) {
            let body = json!({ "keys": batch });
            let data = context.api.post(&["keys", "import"], &self.wait.query(), &body).await;
            let data = data.map_err(|error| broken_off(error, imported, keys.len()))?;
            imported += batch.len();
            exit = exit.max(progress.changed(context.output, &data, &format!("{} keys imported", batch.len())));
        }
        progress.end()?;
        Ok(exit)
    }

    fn read(&self) -> Result<Vec<Value>, CommandError> {
        let text = document::text(&self.file)?;
        let csv = self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let keys = match self.format.unwrap_or(if csv { Format::Csv } else { Format::Json }) {
            Format::Csv => from_csv(&text),
            Format::Json => document::value(&text).and_then(listed),
        };
        keys.map_err(|reason| CommandError::file(&self.file, reason))
    }
}

/// What was imported before stays. The API counts the keys of a batch.
fn broken_off(error: CommandError, imported: usize, all: usize) -> CommandError {
    if imported == 0 {
        return error;
    }
    CommandError::Halfway(format!(
        "{error} (counted from key {imported} of the file, from 0); {imported} of {all} keys are imported"
    ))
}

/// A list of keys, or an object that has one.
fn listed(mut document: Value) -> Result<Vec<Value>, String> {
    let list = if document.is_object() { document["keys"].take() } else { document };
    match list {
        Value::Array(keys) if !keys.is_empty() => Ok(keys),
        _ => Err("must be a list of keys, or an object with such a list in `keys`".to_owned()),
    }
}

fn from_csv(text: &str) -> Result<Vec<Value>, String> {
    let records = csv::read(text)?;
    let (names, records) = records.split_first().ok_or("must have a line of names")?;
    let known = |name: &&String| FIELDS.contains(&name.as_str()) || WINDOWS.iter().any(|(column, _)| name == column);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        return Err(format!("column `{}` is unknown, expected one of {}", text::plain(name), columns().join(", ")));
    }
    let key = |(index, record): (usize, &Vec<String>)| {
        from_record(names, record).map_err(|reason| format!("record {}: {reason}", index + 2))
    };
    records.iter().enumerate().map(key).collect()
}

fn columns() -> Vec<&'static str> {
    FIELDS.into_iter().chain(WINDOWS.map(|(column, _)| column)).collect()
}

/// An empty field is one that is left out.
fn from_record(names: &[String], record: &[String]) -> Result<Value, String> {
    let (mut key, mut limits) = (Map::new(), Map::new());
    for (name, field) in names.iter().zip(record).filter(|(_, field)| !field.is_empty()) {
        let list = || json!(field.split(SEPARATOR).map(str::trim).collect::<Vec<_>>());
        if let Some((_, window)) = WINDOWS.iter().find(|(column, _)| name == column) {
            let requests: u32 = field.parse().map_err(|_| format!("`{name}` must be a whole number"))?;
            limits.insert((*window).to_owned(), json!(requests));
        } else if LISTS.contains(&name.as_str()) || (name == "scope" && field != "all") {
            key.insert(name.clone(), list());
        } else {
            key.insert(name.clone(), json!(field));
        }
    }
    if !limits.is_empty() {
        key.insert("limits".to_owned(), Value::Object(limits));
    }
    Ok(Value::Object(key))
}

/// Which keys, and how.
#[derive(Clone, Args)]
pub struct Export {
    #[command(flatten)]
    filter: Filter,
    /// The form to print them in
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let keys =
            pages::all(&context.api, &["keys"], "keys", self.filter.query().with("include", Some("ip_lists"))).await?;
        match self.format {
            Format::Json => output::print(&(text::json(&json!({ "keys": keys })) + "\n"))?,
            Format::Csv => output::print(&to_csv(&keys, io::stdout().is_terminal()))?,
        }
        Ok(Exit::Done)
    }
}

/// A terminal is not given what it would obey, other than line breaks.
fn to_csv(keys: &[Value], terminal: bool) -> String {
    let exported = FIELDS.into_iter().filter(|name| *name != "sha256").chain(EXPORTED);
    let names: Vec<_> = exported.chain(WINDOWS.map(|(column, _)| column)).collect();
    let mut out = csv::line(names.iter().copied());
    for key in keys {
        let fields: Vec<_> = names.iter().map(|name| field(key, name)).collect();
        let line = csv::line(fields.iter().map(String::as_str));
        out.push_str(&if terminal { text::plain(line.trim_end_matches('\n')) + "\n" } else { line });
    }
    out
}

fn field(key: &Value, name: &str) -> String {
    let value = match WINDOWS.iter().find(|(column, _)| *column == name) {
        Some((_, window)) => &key["limits"][window],
        None => &key[name],
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(entries) => {
            // What is switched off counts as absent, and CSV has no box for it.
            let counts = entries.iter().filter(|entry| entry["enabled"] != false);
            let texts = counts.map(|entry| entry.as_str().or(entry["cidr"].as_str()).unwrap_or_default());
            texts.collect::<Vec<_>>().join(&SEPARATOR.to_string())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_csv() {
        let text = "sha256,name,scope,roles,allowed_ips,limit_minute,expires_at\n\
                    ab,CI,dns; cdn,dns_manager,10.0.0.0/8;::1,100,\n\
                    cd,\"a, b\",all,,,,2030-01-01T00:00:00Z\n";
        let keys = [
            json!({
                "sha256": "ab", "name": "CI", "scope": ["dns", "cdn"], "roles": ["dns_manager"],
                "allowed_ips": ["10.0.0.0/8", "::1"], "limits": {"minute": 100},
            }),
            json!({"sha256": "cd", "name": "a, b", "scope": "all", "expires_at": "2030-01-01T00:00:00Z"}),
        ];
        assert_eq!(from_csv(text).unwrap(), keys);
        assert!(
            from_csv("sha256,colour\n").unwrap_err().starts_with("column `colour` is unknown, expected one of sha256")
        );
        let error = from_csv("name,limit_day\nCI,1\nCD,many\n").unwrap_err();
        assert_eq!(error, "record 3: `limit_day` must be a whole number");
        assert!(from_csv("").is_err());
    }

    #[test]
    fn keys_are_a_list_or_in_one() {
        assert_eq!(listed(json!([{"name": "CI"}])).unwrap(), [json!({"name": "CI"})]);
        assert_eq!(listed(json!({"keys": [{"name": "CI"}]})).unwrap(), [json!({"name": "CI"})]);
        for nothing in [json!({}), json!([]), json!("CI"), json!(null)] {
            assert!(listed(nothing).is_err());
        }
    }

    #[test]
    fn what_is_exported_can_be_read_again() {
        let key = json!({
            "key_id": "key_1", "name": "a, \"b\"\u{1b}[0m", "scope": ["dns"], "roles": [], "limits": {"day": 5},
            "allowed_ips": [{"cidr": "10.0.0.0/8", "enabled": true}, {"cidr": "::1/128", "enabled": false}],
            "active": true, "expires_at": null,
        });
        let records = csv::read(&to_csv(std::slice::from_ref(&key), false)).unwrap();
        let at = |name: &str| {
            let index = records[0].iter().position(|column| column == name).unwrap();
            records[1][index].as_str()
        };
        assert_eq!((at("key_id"), at("name"), at("scope")), ("key_1", "a, \"b\"\u{1b}[0m", "dns"));
        assert_eq!((at("allowed_ips"), at("limit_day"), at("active")), ("10.0.0.0/8", "5", "true"));
        assert_eq!((at("expires_at"), at("roles"), at("limit_hour")), ("", "", ""));
        assert!(!to_csv(&[key], true).contains('\u{1b}'));
    }
}
