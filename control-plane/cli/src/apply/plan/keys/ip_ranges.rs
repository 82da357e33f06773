//! Compares IP lists as lists of ranges, in which disabled ranges are marked.

use latchkey_model::ip_list::IpList;
use serde_json::{Value, json};

use crate::apply::plan::compare::{added, sorted};
use crate::text;

/// The mark after a disabled range.
const OFF: &str = " (off)";

/// Returns the ranges of a list of the API, with their order and spelling normalized.
pub(super) fn normalized(list: &Value) -> Value {
    let list: Option<IpList> = serde_json::from_value(list.clone()).ok();
    list.as_ref().map_or(Value::Null, ranges)
}

/// Returns the ranges of a list in their normal order.
pub(super) fn ranges(list: &IpList) -> Value {
    let list = json!(list);
    let entries = list.as_array().into_iter().flatten().map(|entry| {
        let cidr = text::field(entry, "cidr");
        json!(if entry["enabled"] == false {
            format!("{cidr}{OFF}")
        } else {
            cidr.to_owned()
        })
    });
    sorted(&Value::Array(entries.collect()))
}

/// Returns whether a range is enabled in `after` and not in `before`.
pub(super) fn any_added(before: &Value, after: &Value) -> bool {
    let added = added(before, after);
    added.iter().any(|range| !range.ends_with(OFF))
}

/// Returns whether a range is enabled.
pub(super) fn any_enabled(ranges: &Value) -> bool {
    let ranges = ranges.as_array().into_iter().flatten();
    let mut texts = ranges.map(|range| range.as_str().unwrap_or_default());
    texts.any(|range| !range.ends_with(OFF))
}
