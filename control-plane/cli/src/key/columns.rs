//! The columns of keys in CSV that export and import share, and the fields of a key in JSON that
//! are exported but not imported.

use serde_json::{Map, Value, json};

use crate::csv;
use crate::text;

/// The separator of the entries of a list.
const SEPARATOR: char = ';';

/// The mark after a disabled IP range.
const OFF: &str = " off";

/// The columns that are lists.
const LISTS: [&str; 5] = [
    "roles",
    "permissions",
    "allowed_subaccounts",
    "allowed_ips",
    "denied_ips",
];

/// The columns that are lists of IP ranges.
const IP_LISTS: [&str; 2] = ["allowed_ips", "denied_ips"];

/// The columns that are limits, with their windows.
const WINDOWS: [(&str, &str); 4] = [
    ("limit_minute", "minute"),
    ("limit_hour", "hour"),
    ("limit_day", "day"),
    ("limit_month", "month"),
];

/// The column of the digest, which is only imported: no export contains it.
pub(super) const DIGEST: &str = "sha256";

/// The column of the key itself instead of its digest. The key is hashed before it is sent.
pub(super) const PLAIN: &str = "key";

/// The columns that export and import share, except limits.
const SETTINGS: [&str; 12] = [
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

/// The columns that are only exported. An import ignores them.
const EXPORTED: [&str; 7] = [
    "key_id",
    "owner",
    "active",
    "created_at",
    "updated_at",
    "last_used_at",
    "revoked_at",
];

/// The fields of a key in JSON that an import also ignores.
const SHOWN: [&str; 9] = [
    "disabled",
    "last_used_ip",
    "rate_limit",
    "secrets",
    "usage",
    "imported",
    "allowed_ips_count",
    "denied_ips_count",
    "issues",
];

/// Returns the names of the columns of an export.
pub(super) fn exported() -> impl Iterator<Item = &'static str> {
    SETTINGS
        .into_iter()
        .chain(EXPORTED)
        .chain(WINDOWS.map(|(column, _)| column))
}

/// Returns the names of the columns that an import can have.
fn imported() -> impl Iterator<Item = &'static str> {
    [DIGEST, PLAIN].into_iter().chain(exported())
}

/// Formats a key as a line of CSV.
pub(super) fn line(key: &Value) -> String {
    let cells: Vec<_> = exported().map(|name| cell(key, name)).collect();
    csv::line(cells.iter().map(String::as_str))
}

fn cell(key: &Value, name: &str) -> String {
    let value = match WINDOWS.iter().find(|(column, _)| *column == name) {
        Some((_, window)) => &key["limits"][window],
        None => &key[name],
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries
            .iter()
            .map(entry)
            .collect::<Vec<_>>()
            .join(&SEPARATOR.to_string()),
        other => other.to_string(),
    }
}

fn entry(entry: &Value) -> String {
    let text = entry
        .as_str()
        .or(entry["cidr"].as_str())
        .unwrap_or_default();
    format!("{text}{}", if entry["enabled"] == false { OFF } else { "" })
}

/// Refuses unknown and duplicate names of columns.
pub(super) fn ensure_known<'n>(names: impl Iterator<Item = &'n str>) -> Result<(), String> {
    let mut seen = Vec::new();
    for name in names {
        if !imported().any(|known| known == name) {
            let known: Vec<_> = imported().collect();
            return Err(format!(
                "column `{}` is unknown, expected one of {}",
                text::plain(name),
                known.join(", ")
            ));
        }
        if seen.contains(&name) {
            return Err(format!("column `{name}` appears twice"));
        }
        seen.push(name);
    }

    Ok(())
}

/// Returns a row of the API from pairs of column name and cell. Empty cells are left out.
pub(super) fn row<'c>(cells: impl Iterator<Item = (&'c str, &'c str)>) -> Result<Value, String> {
    let (mut key, mut limits) = (Map::new(), Map::new());
    for (name, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
        let list = || {
            cell.split(SEPARATOR)
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
        };
        if let Some((_, window)) = WINDOWS.iter().find(|(column, _)| *column == name) {
            let requests: u32 = cell
                .parse()
                .map_err(|_| format!("`{name}` must be a whole number"))?;
            limits.insert((*window).to_owned(), json!(requests));
        } else if IP_LISTS.contains(&name) {
            key.insert(name.to_owned(), list().map(ip_range).collect());
        } else if LISTS.contains(&name) || (name == "scope" && cell != "all") {
            key.insert(name.to_owned(), list().map(Value::from).collect());
        } else if name == "active" {
            key.insert(name.to_owned(), json!(cell == "true"));
        } else {
            key.insert(name.to_owned(), json!(cell));
        }
    }
    if !limits.is_empty() {
        key.insert("limits".to_owned(), Value::Object(limits));
    }

    settings(Value::Object(key))
}

fn ip_range(entry: &str) -> Value {
    match entry.strip_suffix(OFF) {
        Some(range) => json!({"cidr": range.trim_end(), "enabled": false}),
        None => json!(entry),
    }
}

/// Removes the fields that only an export has. Refuses a revoked or disabled key, as it would
/// become valid when imported.
pub(super) fn settings(mut row: Value) -> Result<Value, String> {
    let Some(fields) = row.as_object_mut() else {
        return Ok(row);
    };

    if fields.get("revoked_at").is_some_and(|time| !time.is_null()) {
        return Err("`revoked_at` is set: a revoked key cannot be imported".to_owned());
    }
    if fields.get("active") == Some(&json!(false)) || fields.get("disabled") == Some(&json!(true)) {
        return Err(
            "`active` is false: a disabled or expired key would become valid when \
        imported"
                .to_owned(),
        );
    }
    if fields.get("issues").is_some_and(|issues| !issues.is_null()) {
        return Err("`issues` is set: an imported key cannot create keys for others".to_owned());
    }

    fields.retain(|name, _| !EXPORTED.contains(&name.as_str()) && !SHOWN.contains(&name.as_str()));
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Result<Value, String>> {
        let records = csv::read(text).unwrap();
        let names: Vec<_> = records[0].cells().collect();
        records[1..]
            .iter()
            .map(|record| row(names.iter().copied().zip(record.cells())))
            .collect()
    }

    #[test]
    fn rows_are_read_from_cells() {
        let text = "sha256,name,scope,roles,allowed_ips,limit_minute,expires_at\n\
                    ab,CI,dns; cdn,dns_manager,10.0.0.0/8;::1/128 off,100,\n\
                    cd,\"a, b\",all,,,,2030-01-01T00:00:00Z\n\
                    ef,x,all,,,many,\n";
        let expected = [
            json!({
                "sha256": "ab", "name": "CI", "scope": ["dns", "cdn"], "roles": ["dns_manager"],
                "allowed_ips": ["10.0.0.0/8", {"cidr": "::1/128", "enabled": false}], "limits": {"minute": 100},
            }),
            json!({"sha256": "cd", "name": "a, b", "scope": "all", "expires_at": "2030-01-01T00:00:00Z"}),
        ];
        let found = rows(text);
        assert_eq!(
            [found[0].clone().unwrap(), found[1].clone().unwrap()],
            expected
        );
        assert_eq!(
            found[2],
            Err("`limit_minute` must be a whole number".to_owned())
        );
        let unknown = ensure_known(["sha256", "colour"].into_iter()).unwrap_err();
        assert!(
            unknown
                .starts_with("column `colour` is unknown, expected one of sha256, key, key_prefix"),
            "{unknown}"
        );
        assert!(
            ensure_known(["name", "name"].into_iter())
                .unwrap_err()
                .contains("twice")
        );
    }

    #[test]
    fn exported_keys_are_imported_without_loss() {
        let key = json!({
            "key_id": "key_1", "name": "=a, \"b\"", "description": "-1\n'=2", "key_prefix": "lk_live_Ab3d...x9Qz",
            "environment": "test", "tier": "pro", "scope": ["dns"], "roles": ["admin"], "permissions": ["a:b", "c:d"],
            "allowed_subaccounts": ["sub_1"], "limits": {"day": 5}, "active": true, "owner": "usr_1",
            "allowed_ips": [{"cidr": "10.0.0.0/8", "enabled": true}, {"cidr": "::1/128", "enabled": false}],
            "denied_ips": [], "expires_at": "2030-01-01T00:00:00Z", "created_at": "2020-01-01T00:00:00Z",
            "updated_at": "2020-01-01T00:00:00Z", "last_used_at": null, "revoked_at": null,
        });
        let text = csv::line(exported()) + &line(&key);
        ensure_known(exported()).unwrap();
        let mut expected = settings(key.clone()).unwrap();
        expected
            .as_object_mut()
            .unwrap()
            .retain(|_, value| *value != json!([]));
        let mut found = rows(&text).remove(0).unwrap();
        found["allowed_ips"][0] = json!({"cidr": found["allowed_ips"][0], "enabled": true});
        assert_eq!(found, expected);
        assert!(found.get("owner").is_none());
    }

    #[test]
    fn keys_that_would_revive_are_refused() {
        let refused = |key: Value| settings(key).unwrap_err();
        assert!(
            refused(json!({"revoked_at": "2020-01-01T00:00:00Z"}))
                .starts_with("`revoked_at` is set")
        );
        assert!(refused(json!({"active": false})).starts_with("`active` is false"));
        assert!(
            rows("name,active\nCI,false\n")[0].is_err()
                && rows("name,active\nCI,true\n")[0].is_ok()
        );
    }
}
