//! Compares two lists of route rules: which rules are new, removed, moved, or changed, and in which
//! fields.

use serde_json::Value;

use crate::text;

/// The fields of a rule that define the requirements of a request.
const NEEDS: [&str; 4] = ["public", "service", "permission", "subaccount"];

/// Returns a line for each rule that differs.
pub(super) fn differences(before: &[Value], after: &[Value]) -> Vec<String> {
    let mut pairs = unchanged(before, after);
    // Rules that match the same requests are paired first; then rules with the same path.
    for same in [same_requests, same_path] {
        let unpaired = |paired: &[usize], count: usize| {
            (0..count)
                .filter(|index| !paired.contains(index))
                .collect::<Vec<_>>()
        };
        let (old, new) = pairs.iter().copied().unzip::<_, _, Vec<_>, Vec<_>>();
        let mut free = unpaired(&old, before.len());
        for new in unpaired(&new, after.len()) {
            let matching = free
                .iter()
                .position(|old| same(rule(before, *old), rule(after, new)));
            pairs.extend(matching.map(|position| (free.remove(position), new)));
        }
    }

    let kept = unchanged(before, after);
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, rule) in after.iter().enumerate() {
        let number = index.saturating_add(1);
        match pairs.iter().find(|(_, new)| *new == index) {
            None => lines.push((index, format!("+ rule {number}: {}", described(rule)))),
            Some(pair) if kept.contains(pair) => {}
            Some((old, _)) => lines.push((index, changed(*old, index, &before[*old], rule))),
        }
    }

    for (index, rule) in before
        .iter()
        .enumerate()
        .filter(|(index, _)| pairs.iter().all(|(old, _)| old != index))
    {
        lines.push((
            index,
            format!("- rule {}: {}", index.saturating_add(1), described(rule)),
        ));
    }
    lines.sort_by_key(|(index, _)| *index);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn rule(rules: &[Value], index: usize) -> &Value {
    rules.get(index).unwrap_or(&Value::Null)
}

/// Returns pairs of indexes of the longest common subsequence of both lists.
fn unchanged(before: &[Value], after: &[Value]) -> Vec<(usize, usize)> {
    let width = after.len().saturating_add(1);
    let at = |old: usize, new: usize| old.saturating_mul(width).saturating_add(new);
    // The length of the longest common subsequence from each pair of indexes on.
    let mut lengths = vec![0_u16; before.len().saturating_add(1).saturating_mul(width)];
    for (old, one) in before.iter().enumerate().rev() {
        for (new, other) in after.iter().enumerate().rev() {
            let longest = if one == other {
                lengths[at(old + 1, new + 1)].saturating_add(1)
            } else {
                lengths[at(old + 1, new)].max(lengths[at(old, new + 1)])
            };
            lengths[at(old, new)] = longest;
        }
    }

    let (mut old, mut new, mut pairs) = (0, 0, Vec::new());
    while old < before.len() && new < after.len() {
        if before[old] == after[new] {
            pairs.push((old, new));
            old += 1;
            new += 1;
        } else if lengths[at(old + 1, new)] >= lengths[at(old, new + 1)] {
            old += 1;
        } else {
            new += 1;
        }
    }

    pairs
}

fn same_requests(one: &Value, other: &Value) -> bool {
    ["host", "methods", "path"]
        .iter()
        .all(|field| one[field] == other[field])
}

fn same_path(one: &Value, other: &Value) -> bool {
    one["path"] == other["path"]
}

/// Describes the requests that a rule matches: `GET api.example.com prefix /v4`.
fn requests(rule: &Value) -> String {
    let methods = rule["methods"]
        .as_array()
        .map(|_| text::inline(&rule["methods"]).replace(", ", ","));
    let host = rule["host"].as_str().map(text::plain);
    let path = rule["path"].as_object().into_iter().flatten();
    let path = path.map(|(kind, path)| format!("{kind} {}", text::inline(path)));

    methods
        .into_iter()
        .chain(host)
        .chain(path)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Describes a rule: `prefix /v4, permission dns:read`.
fn described(rule: &Value) -> String {
    let needs = NEEDS
        .iter()
        .filter(|field| !rule[**field].is_null() && rule[**field] != false);
    let needs = needs.map(|field| {
        if *field == "public" {
            "public".to_owned()
        } else {
            format!("{field} {}", text::inline(&rule[*field]))
        }
    });
    [requests(rule)]
        .into_iter()
        .chain(needs)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Describes a changed rule: `rule 2: prefix /v4: permission dns:write → dns:read`.
fn changed(old: usize, new: usize, before: &Value, after: &Value) -> String {
    let shown = |value: &Value, field: &str| match (field, value) {
        ("public", value) => if *value == true { "yes" } else { "no" }.to_owned(),
        ("path", value) => text::inline(value).replace('=', " "),
        (_, value) => text::inline(value),
    };
    let fields = ["host", "methods", "path"].iter().chain(&NEEDS);
    let differences = fields.filter(|field| before[**field] != after[**field]);
    let differences: Vec<_> = differences
        .map(|field| {
            format!(
                "{field} {} → {}",
                shown(&before[*field], field),
                shown(&after[*field], field)
            )
        })
        .collect();
    let (from, to) = (old.saturating_add(1), new.saturating_add(1));
    let number = if from == to {
        to.to_string()
    } else {
        format!("{to} (was {from})")
    };
    let what = if differences.is_empty() {
        "moved".to_owned()
    } else {
        differences.join(", ")
    };

    format!("~ rule {number}: {}: {what}", requests(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(path: &str, permission: &str) -> Value {
        json!({"path": {"prefix": path}, "permission": permission})
    }

    #[test]
    fn each_differing_rule_has_a_line() {
        let before = [
            rule("/a", "a:b"),
            rule("/b", "a:b"),
            rule("/c", "a:b"),
            rule("/d", "a:b"),
        ];
        let public = json!({"path": {"prefix": "/b"}, "public": true});
        let get = json!({"path": {"prefix": "/d"}, "methods": ["GET", "PUT"], "host": "x.test", "permission": "a:b"});
        let after = [rule("/new", "a:c"), rule("/a", "a:b"), public, get];
        assert_eq!(
            differences(&before, &after),
            [
                "+ rule 1: prefix /new, permission a:c",
                "~ rule 3 (was 2): prefix /b: public no → yes, permission a:b → -",
                "- rule 3: prefix /c, permission a:b",
                "~ rule 4: prefix /d: host - → x.test, methods - → GET, PUT",
            ]
        );
        assert_eq!(differences(&before, &before), [""; 0]);
        assert_eq!(
            differences(&[], &before[..1]),
            ["+ rule 1: prefix /a, permission a:b"]
        );
    }

    #[test]
    fn rules_in_another_order_are_moved() {
        let rules = [rule("/a", "a:b"), rule("/b", "a:b"), rule("/c", "a:b")];
        let after = [rules[1].clone(), rules[2].clone(), rules[0].clone()];
        assert_eq!(
            differences(&rules, &after),
            ["~ rule 3 (was 1): prefix /a: moved"]
        );
    }

    #[test]
    fn a_thousand_rules_are_compared() {
        let rules: Vec<_> = (0..1_000)
            .map(|number| rule(&format!("/{number}"), "a:b"))
            .collect();
        let after: Vec<_> = rules[1..].iter().rev().cloned().collect();
        assert_eq!(
            differences(&rules, &after).len(),
            999,
            "one is where it was, another is gone"
        );
    }
}
