//! Tests of plans for resources that are not in the file.

use super::*;
use crate::apply::state::NameSample;

/// Prunes in the reverse of the order in which items are created.
#[test]
fn absent_items_are_kept_or_pruned() {
    let yaml = "
tiers: [{name: free, limits: {minute: 10}}]
services: [{name: dns}]
subaccounts: []
users: []
keys: [{name: CI}]
";
    let left = planned_with(yaml, &state(), false).unwrap();
    assert_eq!(
        left.to_string(),
        "= 1 tier is not in the file; --prune would delete it: pro\n\
         = 1 service is not in the file; --prune would delete it: old\n\
         = 1 subaccount is not in the file; --prune would delete it: dev\n\
         = 1 user is not in the file; --prune would delete it: a@b.c\n\
         = 1 key is not in the file; --prune would revoke it: old\n\
         nothing to do\n"
    );
    let pruned = planned_with(yaml, &state(), true).unwrap();
    assert_eq!(
        pruned.to_string(),
        "- key old\n- user a@b.c\n- subaccount dev\n- service old\n- tier pro\n"
    );
    let calls: Vec<_> = pruned.actions.iter().map(call).collect();
    let expected = [
        "DELETE keys/key_2",
        "DELETE users/usr_1",
        "DELETE subaccounts/sub_1",
        "DELETE services/old",
        "PUT tiers",
    ];
    assert_eq!(calls, expected);
    assert_eq!(
        body(&pruned.actions[4]),
        &json!({"tiers": [{"name": "free", "limits": {"minute": 10}}]})
    );
}

/// The pruned user owns keys that the file declares.
#[test]
fn pruning_user_keeps_keys_in_the_file() {
    let mut state = state();
    state.keys[0]["owner"] = json!("usr_1");
    state.keys[1]["owner"] = json!("usr_1");
    let plan = |yaml, prune| planned_with(yaml, &state, prune);
    assert_eq!(
        plan("users: []\nkeys: [{name: CI}]", true).unwrap_err(),
        ["! user a@b.c: this would revoke keys of theirs that the file lists: CI"]
    );
    assert!(plan("users: []\nkeys: [{name: CI}]", false).is_ok());
    let text = plan("users: []\nkeys: []", true).unwrap().to_string();
    assert_eq!(text, "- key old\n- key CI\n- user a@b.c\n");
    let users_alone = plan("users: []", true).unwrap();
    assert_eq!(users_alone.to_string(), "- user a@b.c and revokes 2 keys\n");
    assert_eq!(
        users_alone.actions[0].line.json()["detail"],
        "and revokes 2 keys"
    );
}

#[test]
fn pruning_spares_the_caller() {
    let mut state = state();
    state.caller = json!({"user_id": "usr_1"});
    let user = "! user a@b.c: the file is applied as this user or with one of their keys, so they cannot be deleted";
    assert_eq!(planned_with("users: []", &state, true).unwrap_err(), [user]);
    assert!(planned_with("users: []", &state, false).is_ok());
    assert!(planned_with("users: [{email: a@b.c}]\nkeys: []", &state, true).is_ok());
    state.caller["key_id"] = json!("key_2");
    let key = "! key old: the file is applied with this key, so it cannot be revoked";
    assert_eq!(
        planned_with("users: []\nkeys: []", &state, true).unwrap_err(),
        [user, key]
    );
}

/// Tiers that the file does not declare follow those that it declares.
#[test]
fn undeclared_tiers_stay_at_the_end() {
    let plan = planned("tiers: [{name: top, limits: {}}, {name: pro, limits: {minute: 1000}}]");
    assert_eq!(
        plan.to_string(),
        "+ tier top: -\n= 1 tier is not in the file; --prune would delete it: free\n"
    );
    let names: Vec<_> = text::entries(body(&plan.actions[0]), "tiers")
        .iter()
        .map(|tier| text::field(tier, "name"))
        .collect();
    assert_eq!(names, ["top", "pro", "free"]);
    let plan =
        planned("tiers: [{name: pro, limits: {minute: 1000}}, {name: free, limits: {minute: 10}}]");
    assert_eq!(plan.to_string(), "~ tiers: in another order\n");
}

#[test]
fn names_are_escaped() {
    let mut state = state();
    state.keys[1]["name"] = json!("\u{1b}[2Jold");
    let plan = planned_with("keys: [{name: CI}]", &state, false).unwrap();
    assert_eq!(
        plan.to_string(),
        "= 1 key is not in the file; --prune would revoke it: \\u{1b}[2Jold\nnothing to do\n"
    );
}

/// The line names the first keys and counts the rest.
#[test]
fn thousands_of_kept_keys_take_one_line() {
    let mut state = state();
    (0..50_014).for_each(|number| state.other_keys.add(&format!("k{number}")));
    let plan = planned_with("keys: [{name: CI}, {name: old}]", &state, false).unwrap();
    let line = "= 50,014 keys are not in the file; --prune would revoke them: k0, k1, k2, k3, k4, …\nnothing to do\n";
    assert_eq!(plan.to_string(), line);
    let json = plan.left[0].json();
    assert_eq!(
        (&json["count"], json["sample"].as_array().unwrap().len()),
        (&json!(50_014), 10)
    );

    let key =
        |number: u32| json!({"key_id": format!("key_{number}"), "name": format!("k{number}")});
    state.keys.extend((0..50).map(key));
    state.other_keys = NameSample::default();
    let plan = planned_with("keys: [{name: CI}, {name: old}]", &state, true).unwrap();
    let text = plan.to_string();
    assert_eq!(
        (text.lines().count(), text.lines().last()),
        (21, Some("- and 30 keys more"))
    );
    assert_eq!(plan.removals(), "revokes 50 keys");
}
