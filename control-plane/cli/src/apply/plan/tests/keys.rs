//! Tests of plans for keys.

use super::*;

#[test]
fn only_differing_fields_are_edited() {
    let plan = planned(
        "keys:\n- {name: CI, description: for CI, limits: {minute: 200, day: 5}, active: false, denied_ips: [192.0.2.1]}\n\
         - {name: old, expires_at: null}\n",
    );
    assert_eq!(
        plan.to_string(),
        "~ key CI: description - → for CI, denied_ips - → 192.0.2.1/32, active yes → no, limits.minute 100 → 200, \
         limits.day - → 5\n    ! more requests a minute\n\
         ~ key old: expires_at 2030-01-01T00:00:00Z → -\n    ! expires later\n"
    );
    assert_eq!(call(&plan.actions[0]), "PATCH keys/key_1");
    let expected = json!({
        "description": "for CI", "denied_ips": [{"cidr": "192.0.2.1/32", "enabled": true}], "active": false,
        "limits": {"minute": 200, "day": 5},
    });
    assert_eq!(body(&plan.actions[0]), &expected);
    assert_eq!(body(&plan.actions[1]), &json!({"expires_at": null}));
}

#[test]
fn own_limit_is_set_before_tier_change() {
    let yaml = "tiers: [{name: free, limits: {minute: 20}}, {name: pro, limits: {minute: 1000}}]\n\
                keys: [{name: CI, limits: {minute: 100}}, {name: old}]";
    let plan = planned(yaml);
    assert_eq!(
        plan.to_string(),
        "~ tier free: limits 10 a minute → 20 a minute\n    ! more requests a minute\n\
         ~ key CI: limits.minute 100, set on the key because the tier changes\n"
    );
    assert_eq!(body(&plan.actions[1]), &json!({"limits": {"minute": 100}}));
}

#[test]
fn immutable_key_attributes_cannot_be_edited() {
    assert_eq!(
        refused(
            "keys:\n- {name: CI, scope: all}\n\
             - {name: old, environment: test, tier: pro, roles: [], permissions: ['a:b'], subaccounts: [], description: x}\n"
        ),
        [
            "! key CI: scope differs, which cannot be edited: revoke the key and create another one",
            "! key old: environment, tier, roles, permissions, subaccounts differ, which cannot be edited: revoke the key and create another one",
        ]
    );
}

#[test]
fn expired_key_is_kept_and_replaced() {
    let mut state = state();
    state.keys[0]["expires_at"] = json!("2026-01-01T00:00:00Z");
    state.keys[0]["active"] = json!(false);
    let plan = |yaml: &str, state: &State| match planned_with(yaml, state, false) {
        Ok(plan) => plan.to_string(),
        Err(lines) => lines.join("\n"),
    };
    let renewal =
        "key_1 of this name has expired; renew it with latchkey key edit key_1 --expires TIME";
    for (key, text) in [
        (
            "save: new.pak, active: true",
            "+ key CI: key_1 of this name has expired and stays unchanged\n".to_owned(),
        ),
        (
            "save: new.pak, tier: pro",
            "+ key CI: key_1 of this name has expired and stays unchanged\n".to_owned(),
        ),
        (
            "expires_at: '2026-01-01T00:00:00Z'",
            "nothing to do\n".to_owned(),
        ),
        (
            "description: for CI",
            format!("! key CI: a new key needs `save`, a file for its secret; {renewal}"),
        ),
        (
            "save: taken.pak",
            format!("! key CI: taken.pak exists already and is not overwritten; {renewal}"),
        ),
    ] {
        assert_eq!(
            plan(
                &format!("keys: [{{name: CI, {key}}}, {{name: old}}]"),
                &state
            ),
            text,
            "{key}"
        );
    }
    // The unexpired key of that name is used, wherever it is in the list.
    let mut twin = state.keys[0].clone();
    twin["key_id"] = json!("key_3");
    twin["expires_at"] = json!("2030-01-01T00:00:00Z");
    for at in [0, 1, 2] {
        let mut state = State {
            keys: state.keys.clone(),
            ..State::default()
        };
        state.keys.insert(at, twin.clone());
        let plan = planned_with(
            "keys: [{name: CI, description: for CI}, {name: old}]",
            &state,
            false,
        )
        .unwrap();
        assert_eq!(
            (plan.actions.len(), call(&plan.actions[0]).as_str()),
            (1, "PATCH keys/key_3"),
            "{at}"
        );
    }
}
