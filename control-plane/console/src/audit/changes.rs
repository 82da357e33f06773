//! The differences of a change, field by field.

use maud::{Markup, html};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The maximum number of characters of a value that is shown in a line.
const MAX_LINE: usize = 160;

/// Renders the differences as a section to open, or `none` if there are none. For a created or
/// deleted resource, all fields are shown.
pub(super) fn details(action: &str, before: Option<&Value>, after: Option<&Value>) -> Markup {
    let (summary, fields) = match (
        before.and_then(Value::as_object),
        after.and_then(Value::as_object),
    ) {
        (None, None) => return html! { span .faint { "none" } },
        (Some(before), Some(after)) => {
            let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            if names.is_empty() {
                return html! { span .faint { "none" } };
            }

            let summary = names
                .iter()
                .map(|name| words(name))
                .collect::<Vec<_>>()
                .join(", ");
            (
                summary,
                html! { @for name in names { (changed(name, before.get(name), after.get(name))) } },
            )
        }
        (Some(before), None) => ("Deleted values".to_owned(), all(before)),
        (None, Some(after)) if action.ends_with(".refused") => ("Attempts".to_owned(), all(after)),
        (None, Some(after)) => ("Initial values".to_owned(), all(after)),
    };

    html! {
        details {
            summary { (summary) span .hidden { " (" (action) ")" } }
            dl { (fields) }
        }
    }
}

fn all(fields: &Map<String, Value>) -> Markup {
    html! { @for (name, value) in fields { dt { (words(name)) } dd { (render_value(value)) } } }
}

fn changed(name: &str, before: Option<&Value>, after: Option<&Value>) -> Markup {
    html! {
        dt { (words(name)) }
        dd {
            @if let Some(before) = before { del { span .hidden { "was " } (render_value(before)) } }
            @if before.is_some() && after.is_some() { " " span aria-hidden="true" { "→" } " " }
            @if let Some(after) = after { ins { span .hidden { "is " } (render_value(after)) } }
        }
    }
}

/// Returns a field's name with blanks instead of underscores.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn render_value(value: &Value) -> Markup {
    let text = match value {
        Value::Null => return html! { span .faint { "none" } },
        Value::Bool(yes) => return html! { @if *yes { "yes" } @else { "no" } },
        Value::String(text) => return html! { (text) },
        Value::Array(list) if list.is_empty() => return html! { span .faint { "none" } },
        Value::Array(list) if list.iter().all(Value::is_string) => {
            let words: Vec<_> = list.iter().filter_map(Value::as_str).collect();
            return html! { (words.join(", ")) };
        }
        other => other.to_string(),
    };

    if text.chars().count() <= MAX_LINE {
        return html! { code { (text) } };
    }
    html! { pre { (format!("{value:#}")) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn edit_is_shown_field_by_field() {
        let (before, after) = (
            json!({ "name": "a", "roles": ["admin"] }),
            json!({ "name": "<b>", "roles": [] }),
        );
        let rendered = details("key.update", Some(&before), Some(&after)).into_string();
        assert!(
            rendered.contains("<del><span class=\"hidden\">was </span>a</del>"),
            "{rendered}"
        );
        assert!(rendered.contains("is </span>&lt;b&gt;</ins>"), "{rendered}");
        assert!(rendered.contains("<summary>name, roles<span"), "{rendered}");
    }

    #[test]
    fn change_without_values_has_no_details() {
        assert!(
            !details("session.create", None, None)
                .into_string()
                .contains("<details")
        );
        assert!(
            !details("key.regenerate", Some(&json!({})), Some(&json!({})))
                .into_string()
                .contains("<details")
        );
    }
}
