//! Formats the API's data for a terminal. Names and descriptions are data: control characters are
//! shown as escapes, and so are all characters that a name must not contain
//! ([`latchkey_model::text`]).

use jiff::Timestamp;
use jiff::tz::TimeZone;
use latchkey_model::text::{escaped, faults};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// The text for an absent value.
pub(super) const NOTHING: &str = "-";

/// Escapes invisible characters as in Rust: `\u{1b}`, `\n`.
pub(super) fn plain(text: &str) -> String {
    escaped(text).into_owned()
}

/// Formats a file's path, with invisible characters escaped.
pub(super) fn path(path: &Path) -> String {
    plain(&path.display().to_string())
}

/// Formats JSON on several lines, with misleading characters as JSON escapes.
pub(super) fn json(value: &Value) -> String {
    json_escaped(&format!("{value:#}"))
}

/// Formats JSON on one line, with the same escapes.
pub(super) fn json_line(value: &Value) -> String {
    json_escaped(&value.to_string())
}

fn json_escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (c, fault) in faults(json) {
        if fault.is_some() && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }

    out
}

/// Formats a value in one line.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::String(text) => plain(text),
        Value::Array(entries) => joined(entries.iter().map(inline)),
        Value::Object(fields) => joined(
            fields
                .iter()
                .map(|(name, value)| format!("{}={}", plain(name), inline(value))),
        ),
    }
}

/// Formats a list in one line.
pub(super) fn joined(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<_> = texts.collect();
    if texts.is_empty() {
        NOTHING.to_owned()
    } else {
        texts.join(", ")
    }
}

/// Formats a number with separators between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// Formats a count, with separators between thousands.
pub(super) fn count(count: usize) -> String {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Formats a count and its noun, such as `50,015 keys`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        count(number),
        if number == 1 { "" } else { "s" }
    )
}

/// Formats a time to the minute, in UTC: `2027-01-15 08:00`.
pub(super) fn date(value: &Value) -> String {
    let time: Option<Timestamp> = value.as_str().and_then(|text| text.parse().ok());
    time.map_or_else(
        || inline(value),
        |time| {
            time.to_zoned(TimeZone::UTC)
                .strftime("%Y-%m-%d %H:%M")
                .to_string()
        },
    )
}

/// Returns the text of a field, not escaped; empty if it is missing.
pub(super) fn field<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// Returns the entries of a list; empty if the field is not a list.
pub(super) fn entries<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn terminal_control_characters_are_escaped() {
        for (text, shown) in [
            ("CI é 例", "CI é 例"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn escaped_json_keeps_its_meaning() {
        let value =
            json!({"name": "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}é\u{e0001}", "list": [1, null]});
        let text = json(&value);
        assert!(
            faults(&text).all(|(c, fault)| c == '\n' || fault.is_none()),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn values_take_one_line() {
        assert_eq!(inline(&json!(null)), "-");
        assert_eq!(inline(&json!([])), "-");
        assert_eq!(inline(&json!(["a", "b\n"])), "a, b\\n");
        assert_eq!(
            inline(&json!({"minute": 10, "day": true})),
            "minute=10, day=yes"
        );
        assert_eq!(date(&json!("2027-01-15T08:00:59Z")), "2027-01-15 08:00");
        assert_eq!(date(&json!(null)), "-");
        assert_eq!(date(&json!("so\u{1b}on")), "so\\u{1b}on");
    }
}
