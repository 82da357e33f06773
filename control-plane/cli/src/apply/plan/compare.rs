//! Compares values of the API with wanted ones.

use serde_json::Value;

use crate::text;

/// Returns the entries of `now` that are not in `before`, such as additional permissions.
pub(super) fn added(before: &Value, now: &Value) -> Vec<String> {
    let before = before.as_array().map_or(&[][..], Vec::as_slice);
    let now = now.as_array().into_iter().flatten();
    let new = now.filter(|entry| !before.contains(entry));
    new.map(text::inline).collect()
}

/// Describes a changed field, such as `tier free → pro`; `None` if the values are equal.
pub(super) fn difference(field: &str, from: &Value, to: &Value) -> Option<String> {
    (from != to).then(|| format!("{field} {} → {}", text::inline(from), text::inline(to)))
}

/// Sorts a list and removes duplicates, to compare lists whose order has no meaning.
pub(super) fn sorted(list: &Value) -> Value {
    let mut entries = list.as_array().cloned().unwrap_or_default();
    entries.sort_by_key(ToString::to_string);
    entries.dedup();
    Value::Array(entries)
}
