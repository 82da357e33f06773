//! Formats users for people.

use serde_json::Value;

use crate::table::details;
use crate::text;

/// The headings of the list of users.
pub(super) const HEADINGS: [&str; 6] =
    ["ID", "EMAIL", "ROLES", "SUBACCOUNTS", "DISABLED", "CREATED"];

/// Returns the cells of a user's line in the list.
pub(super) fn line(user: &Value) -> [String; 6] {
    [
        text::inline(&user["user_id"]),
        text::inline(&user["email"]),
        text::inline(&user["roles"]),
        text::inline(&user["subaccounts"]),
        text::inline(&user["disabled"]),
        text::date(&user["created_at"]),
    ]
}

/// Formats all attributes of a user.
pub(super) fn one(user: &Value) -> String {
    details([
        ("ID", text::inline(&user["user_id"])),
        ("EMAIL", text::inline(&user["email"])),
        ("ROLES", text::inline(&user["roles"])),
        ("PERMISSIONS", text::inline(&user["permissions"])),
        ("SUBACCOUNTS", text::inline(&user["subaccounts"])),
        ("DISABLED", text::inline(&user["disabled"])),
        ("CREATED", text::date(&user["created_at"])),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn user_is_a_line() {
        let user = json!({
            "user_id": "usr_1", "email": "a@b.c", "roles": ["admin"], "subaccounts": "all", "disabled": false,
            "created_at": "2027-01-15T08:00:00Z",
        });
        assert_eq!(
            line(&user),
            ["usr_1", "a@b.c", "admin", "all", "no", "2027-01-15 08:00"]
        );
    }
}
