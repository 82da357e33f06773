//! Formats keys for people.

use serde_json::Value;

use crate::table::details;
use crate::{text, timestamp};

/// Returns whether a key is past its expiry, so that another key can have its name.
pub(crate) fn has_expired(key: &Value, now: i64) -> bool {
    timestamp::second(text::field(key, "expires_at")).is_some_and(|second| second <= now)
}

/// Returns `active`, or the reason why the key is not.
pub(super) fn state(key: &Value, now: i64) -> &'static str {
    match (
        key["revoked_at"].is_string(),
        has_expired(key, now),
        &key["active"],
    ) {
        (true, _, _) => "revoked",
        (false, true, _) => "expired",
        (false, false, Value::Bool(false)) => "disabled",
        _ => "active",
    }
}

/// The headings of the list of keys.
pub(super) const HEADINGS: [&str; 7] =
    ["ID", "NAME", "KEY", "STATE", "TIER", "EXPIRES", "LAST USED"];

/// Returns the cells of a key's line in the list.
pub(super) fn line(key: &Value, now: i64) -> [String; 7] {
    [
        text::inline(&key["key_id"]),
        text::inline(&key["name"]),
        text::inline(&key["key_prefix"]),
        state(key, now).to_owned(),
        text::inline(&key["tier"]),
        text::date(&key["expires_at"]),
        text::date(&key["last_used_at"]),
    ]
}

/// Formats all attributes of a key.
pub(super) fn one(key: &Value, now: i64) -> String {
    let last_used = match &key["last_used_ip"] {
        Value::String(address) => format!(
            "{} from {}",
            text::date(&key["last_used_at"]),
            text::plain(address)
        ),
        _ => text::date(&key["last_used_at"]),
    };
    let subaccounts = match key["allowed_subaccounts"].as_array() {
        Some(listed) if !listed.is_empty() => text::inline(&key["allowed_subaccounts"]),
        _ => "all of the owner's subaccounts".to_owned(),
    };
    details([
        ("ID", text::inline(&key["key_id"])),
        ("NAME", text::inline(&key["name"])),
        ("DESCRIPTION", text::inline(&key["description"])),
        ("KEY", text::inline(&key["key_prefix"])),
        ("STATE", state(key, now).to_owned()),
        ("ENVIRONMENT", text::inline(&key["environment"])),
        ("OWNER", text::inline(&key["owner"])),
        ("TIER", text::inline(&key["tier"])),
        ("LIMITS", limits(&key["limits"])),
        ("SCOPE", text::inline(&key["scope"])),
        ("ROLES", text::inline(&key["roles"])),
        ("PERMISSIONS", text::inline(&key["permissions"])),
        ("SUBACCOUNTS", subaccounts),
        ("ALLOWED IPS", addresses(&key["allowed_ips"])),
        ("DENIED IPS", addresses(&key["denied_ips"])),
        ("ISSUES", issues(&key["issues"])),
        ("EXPIRES", text::date(&key["expires_at"])),
        ("CREATED", text::date(&key["created_at"])),
        ("UPDATED", text::date(&key["updated_at"])),
        ("REVOKED", text::date(&key["revoked_at"])),
        ("LAST USED", last_used),
        (
            "REQUESTS TODAY",
            text::inline(&key["usage"]["requests_today"]),
        ),
        (
            "THIS MONTH",
            text::inline(&key["usage"]["requests_this_month"]),
        ),
    ])
}

/// Describes the limits for created keys, such as
/// `tier pro, 1000 a day, from everywhere, for at most 90 days, environments live`.
fn issues(issues: &Value) -> String {
    let tier = issues["tier"]
        .is_string()
        .then(|| format!("tier {}", text::inline(&issues["tier"])));
    let limits = issues["limits"]
        .is_object()
        .then(|| limits(&issues["limits"]));
    let addresses = match &issues["addresses"] {
        Value::String(_) => Some("from everywhere".to_owned()),
        Value::Array(_) => Some(format!("from {}", addresses(&issues["addresses"]))),
        _ => None,
    };
    let days = issues["expiry_days"]
        .as_u64()
        .map(|days| format!("for at most {days} days"));
    let environments = issues["environments"]
        .is_array()
        .then(|| text::inline(&issues["environments"]));
    let environments = environments.map(|environments| format!("environments {environments}"));

    text::joined(
        [tier, limits, addresses, days, environments]
            .into_iter()
            .flatten(),
    )
}

/// Describes limits: `100 a minute, 5000 a day`.
pub(crate) fn limits(limits: &Value) -> String {
    let windows = ["minute", "hour", "day", "month"].into_iter();
    text::joined(windows.filter_map(|window| {
        Some(format!(
            "{} a{} {window}",
            limits[window].as_u64()?,
            article(window)
        ))
    }))
}

fn article(window: &str) -> &'static str {
    if window == "hour" { "n" } else { "" }
}

/// Formats an IP list; disabled entries are marked.
pub(super) fn addresses(list: &Value) -> String {
    let entries = list.as_array().map_or(&[] as &[Value], Vec::as_slice);
    text::joined(entries.iter().map(|entry| {
        let cidr = text::inline(&entry["cidr"]);
        if entry["enabled"] == false {
            format!("{cidr} (off)")
        } else {
            cidr
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn key_has_one_state() {
        for (key, expected) in [
            (json!({"active": true, "expires_at": null}), "active"),
            (json!({"active": false}), "disabled"),
            (
                json!({"active": false, "expires_at": "2027-01-15T08:00:00Z"}),
                "expired",
            ),
            (
                json!({"active": true, "expires_at": "2027-01-15T08:00:01Z"}),
                "active",
            ),
            (
                json!({"active": false, "expires_at": "2020-01-01T00:00:00Z", "revoked_at": "2021-01-01T00:00:00Z"}),
                "revoked",
            ),
        ] {
            assert_eq!(state(&key, NOW), expected, "{key}");
        }
    }

    #[test]
    fn key_names_in_tables_are_data() {
        let key = json!({
            "key_id": "key_1", "name": "\u{1b}[31mCI", "key_prefix": "lk_live_Ab3d...x9Qz", "active": true, "tier": "pro",
            "expires_at": null, "last_used_at": "2027-01-15T07:59:00Z",
        });
        let shown = [
            "key_1",
            "\\u{1b}[31mCI",
            "lk_live_Ab3d...x9Qz",
            "active",
            "pro",
            "-",
            "2027-01-15 07:59",
        ];
        assert_eq!(line(&key, NOW), shown);
    }

    #[test]
    fn single_key_is_shown_by_line() {
        let key = json!({
            "key_id": "key_1", "name": "CI", "limits": {"minute": 100, "hour": 5}, "active": true,
            "allowed_ips": [{"cidr": "10.0.0.0/8", "enabled": true}, {"cidr": "::1/128", "enabled": false}],
            "last_used_at": "2027-01-15T07:59:00Z", "last_used_ip": "192.0.2.1",
            "issues": {"tier": "pro", "limits": {"day": 9}, "addresses": "all", "expiry_days": 90},
        });
        let shown = one(&key, NOW);
        for line in [
            "LIMITS           100 a minute, 5 an hour\n",
            "ALLOWED IPS      10.0.0.0/8, ::1/128 (off)\n",
            "DENIED IPS       -\n",
            "ISSUES           tier pro, 9 a day, from everywhere, for at most 90 days\n",
            "SUBACCOUNTS      all of the owner's subaccounts\n",
            "LAST USED        2027-01-15 07:59 from 192.0.2.1\n",
        ] {
            assert!(shown.contains(line), "{shown}");
        }
    }
}
