//! Tests of plans for documents and states.

use super::*;
use crate::document::parse;
use serde_json::json;

const NOW: i64 = 1_800_000_000;

fn state() -> State {
    let key = |id: &str, name: &str| {
        json!({
            "key_id": id, "name": name, "description": null, "environment": "live", "tier": "free", "scope": ["dns", "cdn"],
            "roles": ["dns_manager", "cache_purger"], "permissions": [], "allowed_subaccounts": ["sub_1"],
            "allowed_ips": [{"cidr": "10.0.0.0/8", "enabled": true}, {"cidr": "::1/128", "enabled": false}],
            "denied_ips": [], "expires_at": "2030-01-01T00:00:00Z", "limits": {"minute": 100}, "active": true,
        })
    };
    State {
        tiers: vec![
            json!({"name": "free", "limits": {"minute": 10}}),
            json!({"name": "pro", "limits": {"minute": 1000}}),
        ],
        services: vec![
            json!({"name": "dns", "description": "DNS"}),
            json!({"name": "old", "description": null}),
        ],
        subaccounts: vec![json!({"subaccount_id": "sub_1", "name": "dev"})],
        users: vec![json!({
            "user_id": "usr_1", "email": "a@b.c", "roles": ["admin"], "permissions": [], "subaccounts": "all",
            "disabled": false,
        })],
        keys: vec![key("key_1", "CI"), key("key_2", "old")],
        routes: json!({"rules": [{"path": {"exact": "/health"}, "public": true}], "unmatched": "valid_key", "path_case": "refuse"}),
        caller: json!({"user_id": "usr_0"}),
        ..State::default()
    }
}

fn planned_with(yaml: &str, state: &State, prune: bool) -> Result<Plan, Vec<String>> {
    let document: Document = parse(yaml).unwrap();
    let document = document.check().unwrap();
    let secret = |variable: &str| match variable {
        "LONG" => Some(Secret::new("correct horse battery staple")),
        "SHORT" => Some(Secret::new("hunter2")),
        _ => None,
    };
    let is_there = |path: &Path| path == Path::new("taken.pak");
    let is_directory = |path: &Path| path == Path::new("");
    let facts = Facts {
        prune,
        now: NOW,
        secret: &secret,
        is_there: &is_there,
        is_directory: &is_directory,
    };
    Plan::new(&document, state, &facts)
        .map_err(|lines| lines.iter().map(ToString::to_string).collect())
}

fn planned(yaml: &str) -> Plan {
    planned_with(yaml, &state(), false).unwrap()
}

fn refused(yaml: &str) -> Vec<String> {
    planned_with(yaml, &state(), false).unwrap_err()
}

fn body(action: &Action) -> &Value {
    action.call.as_ref().unwrap().body.as_ref().unwrap()
}

fn call(action: &Action) -> String {
    let call = action.call.as_ref().unwrap();
    format!("{} {}", call.method, call.path.join("/"))
}

#[test]
fn what_is_so_already_is_nothing_to_do() {
    let same = "
tiers: [{name: free, limits: {minute: 10}}, {name: pro, limits: {minute: 1000}}]
services: [{name: dns, description: DNS}, {name: old}]
subaccounts: [{name: dev}]
users: [{email: A@B.c, roles: [admin], permissions: [], subaccounts: all, disabled: false, password_env: NONE}]
routes: {rules: [{path: {exact: /health}, public: true}]}
keys:
- name: CI
  description: null
  environment: live
  tier: free
  scope: [cdn, dns, dns]
  roles: [cache_purger, dns_manager]
  subaccounts: [dev]
  allowed_ips: [{cidr: '::1', enabled: false}, 10.0.0.0/8]
  denied_ips: []
  expires_at: 1893456000
  limits: {minute: 100}
  active: true
  save: taken.pak
- {name: old}
";
    for prune in [false, true] {
        let plan = planned_with(same, &state(), prune).unwrap();
        assert_eq!(plan.to_string(), "nothing to do\n");
    }
    assert_eq!(
        planned("{}").to_string(),
        "nothing to do\n",
        "sections that are left out are left alone"
    );
}

#[test]
fn what_is_otherwise_is_edited_and_only_that() {
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
fn what_is_not_there_is_made_in_the_order_in_which_it_is_needed() {
    let plan = planned(
        "
keys: [{name: CD, subaccounts: [ops, dev], active: false, expires_at: 1900000000, save: cd.pak}, {name: CI}, {name: old}]
routes: {rules: [], unmatched: deny}
users: [{email: b@b.c, subaccounts: [ops], disabled: true, password_env: LONG}, {email: a@b.c}]
subaccounts: [{name: ops}, {name: dev}]
services: [{name: cdn, description: CDN}, {name: dns}, {name: old}]
tiers: [{name: free, limits: {minute: 20}}, {name: pro, limits: {minute: 1000}}, {name: top, limits: {}}]
",
    );
    assert_eq!(
        plan.to_string(),
        "~ tier free: limits 10 a minute → 20 a minute\n    ! more requests a minute\n\
         + tier top: -\n\
         + service cdn\n\
         + subaccount ops\n\
         + user b@b.c\n\
         ~ routes: 1 rules → 0 rules, unmatched valid_key → deny\n    - rule 1: exact /health, public\n\
         + key CD\n"
    );
    let first = text::entries(body(&plan.actions[0]), "tiers").len();
    assert_eq!(
        (first, &plan.actions[1].call),
        (3, &None),
        "one call makes all tiers so"
    );
    let key = &plan.actions[6];
    assert_eq!(call(key), "POST keys/generate");
    assert_eq!(
        body(key),
        &json!({"name": "CD", "expires_at": "2030-03-17T17:46:40Z"})
    );
    assert_eq!(
        key.subaccounts,
        Some((
            "allowed_subaccounts",
            vec!["ops".to_owned(), "dev".to_owned()]
        ))
    );
    assert_eq!(
        (&key.then, key.save.as_deref()),
        (&Some(json!({"active": false})), Some(Path::new("cd.pak")))
    );
    let user = &plan.actions[4];
    assert_eq!(
        (body(user), user.password_env.as_deref()),
        (&json!({"email": "b@b.c"}), Some("LONG"))
    );
    assert_eq!(user.then, Some(json!({"disabled": true})));
}

#[test]
fn what_the_file_does_not_have_is_left_or_pruned_the_other_way_around() {
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

#[test]
fn a_user_who_is_pruned_takes_along_no_key_that_the_file_has() {
    let mut state = state();
    state.keys[0]["owner"] = json!("usr_1");
    state.keys[1]["owner"] = json!("usr_1");
    let plan = |yaml, prune| planned_with(yaml, &state, prune);
    assert_eq!(
        plan("users: []\nkeys: [{name: CI}]", true).unwrap_err(),
        ["! user a@b.c: this would revoke keys of theirs that the file lists: CI"]
    );
    assert!(plan("users: []\nkeys: [{name: CI}]", false).is_ok());
    let told = plan("users: []\nkeys: []", true).unwrap().to_string();
    assert_eq!(told, "- key old\n- key CI\n- user a@b.c\n");
    let users_alone = plan("users: []", true).unwrap();
    assert_eq!(users_alone.to_string(), "- user a@b.c and revokes 2 keys\n");
    assert_eq!(
        users_alone.actions[0].line.json()["detail"],
        "and revokes 2 keys"
    );
}

#[test]
fn whoever_applies_the_file_is_not_pruned_by_it() {
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

#[test]
fn tiers_that_the_file_does_not_have_stay_at_the_end() {
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
fn a_keys_own_limit_is_set_where_its_tiers_is_about_to_change() {
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
fn what_a_key_has_for_life_cannot_be_edited() {
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
fn everything_that_cannot_be_done_is_told_at_once() {
    assert_eq!(
        refused(
            "users: [{email: b@b.c}, {email: c@b.c, password_env: NONE}, {email: d@b.c, password_env: SHORT},\n\
             {email: a@b.c, subaccounts: [prod]}]\n\
             keys: [{name: k1}, {name: k2, save: taken.pak}, {name: k3, save: a, subaccounts: [prod]},\n\
             {name: k4, save: b, expires_at: 1800000000}, {name: CI, expires_at: 1800000000}, {name: k5, save: none/a}]\n"
        ),
        [
            "! user b@b.c: a new user needs `password_env`, the environment variable with their password",
            "! user c@b.c: NONE is not set",
            "! user d@b.c: SHORT must have at least 12 characters",
            "! user a@b.c: the subaccount prod does not exist",
            "! key k1: a new key needs `save`, a file for its secret",
            "! key k2: taken.pak exists already and is not overwritten",
            "! key k3: the subaccount prod does not exist",
            "! key k4: `expires_at` must be in the future",
            "! key CI: `expires_at` must be in the future",
            "! key k5: there is no directory none for none/a",
        ]
    );
    let pruned = planned_with(
        "subaccounts: []\nkeys: [{name: k, save: a, subaccounts: [dev]}]",
        &state(),
        true,
    );
    assert_eq!(
        pruned.unwrap_err(),
        ["! key k: the subaccount dev does not exist"]
    );
}

#[test]
fn expired_key_is_left_and_another_one_made() {
    let mut state = state();
    state.keys[0]["expires_at"] = json!("2026-01-01T00:00:00Z");
    state.keys[0]["active"] = json!(false);
    let plan = |yaml: &str, state: &State| match planned_with(yaml, state, false) {
        Ok(plan) => plan.to_string(),
        Err(lines) => lines.join("\n"),
    };
    let renewal =
        "key_1 of this name has expired; renew it with latchkey key edit key_1 --expires TIME";
    for (key, told) in [
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
            told,
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

#[test]
fn a_user_is_edited_by_names_of_subaccounts() {
    let plan = planned(
        "users: [{email: a@b.c, roles: [dns_manager], subaccounts: [dev], disabled: true}]",
    );
    assert_eq!(
        plan.to_string(),
        "~ user a@b.c: roles admin → dns_manager, disabled no → yes, subaccounts all → dev\n"
    );
    assert_eq!(
        body(&plan.actions[0]),
        &json!({"roles": ["dns_manager"], "disabled": true})
    );
    assert_eq!(
        plan.actions[0].subaccounts,
        Some(("subaccounts", vec!["dev".to_owned()]))
    );
    let mut confined = state();
    confined.users[0]["subaccounts"] = json!(["sub_1"]);
    let yaml = "users: [{email: a@b.c, subaccounts: [dev]}]";
    assert_eq!(
        planned_with(yaml, &confined, false).unwrap().to_string(),
        "nothing to do\n"
    );
    let yaml = "users: [{email: a@b.c, subaccounts: all}]";
    let plan = planned_with(yaml, &confined, false).unwrap();
    assert_eq!(body(&plan.actions[0]), &json!({"subaccounts": "all"}));
}

#[test]
fn names_are_data() {
    let mut state = state();
    state.keys[1]["name"] = json!("\u{1b}[2Jold");
    let plan = planned_with("keys: [{name: CI}]", &state, false).unwrap();
    assert_eq!(
        plan.to_string(),
        "= 1 key is not in the file; --prune would revoke it: \\u{1b}[2Jold\nnothing to do\n"
    );
}

#[test]
fn rule_that_becomes_public_is_shown_and_marked() {
    let mut state = state();
    state.routes["rules"] = json!([
        {"path": {"exact": "/health"}, "public": true}, {"path": {"prefix": "/admin"}, "permission": "admin:write"},
    ]);
    let plan = planned_with(
        "routes: {rules: [{path: {exact: /health}, public: true}, {path: {prefix: /admin}, public: true}]}",
        &state,
        false,
    );
    let plan = plan.unwrap();
    assert_eq!(
        plan.to_string(),
        "~ routes\n    ~ rule 2: prefix /admin: public no → yes, permission admin:write → -\n\
         \x20   ! /admin (any method) becomes public\n    ! /admin/… (any method) becomes public\n"
    );
    assert!(plan.is_wider() && plan.removals().is_empty());
    let line = plan.actions[0].line.json();
    assert_eq!(line["wider"][0], "/admin (any method) becomes public");
    assert!(
        line["differences"][0]
            .as_str()
            .unwrap()
            .contains("public no → yes"),
        "{line}"
    );
}

#[test]
fn what_is_wider_is_marked_and_what_is_narrower_is_not() {
    let mut state = state();
    state.users[0]["roles"] = json!(["dns_manager"]);
    state.users[0]["subaccounts"] = json!(["sub_1"]);
    state.users[0]["disabled"] = json!(true);
    for (yaml, expected) in [
        (
            "users: [{email: a@b.c, roles: [dns_manager, admin]}]",
            &["gets admin"][..],
        ),
        (
            "users: [{email: a@b.c, permissions: ['a:b']}]",
            &["gets a:b"],
        ),
        (
            "users: [{email: a@b.c, subaccounts: all}]",
            &["gets all subaccounts"],
        ),
        (
            "users: [{email: a@b.c, disabled: false}]",
            &["is no longer disabled"],
        ),
        ("users: [{email: a@b.c, roles: []}]", &[]),
        (
            "tiers: [{name: free, limits: {}}, {name: pro, limits: {minute: 1000}}]",
            &["more requests a minute"],
        ),
        (
            "tiers: [{name: free, limits: {minute: 9, day: 5}}, {name: pro, limits: {minute: 1000}}]",
            &[],
        ),
        (
            "keys: [{name: CI, allowed_ips: []}, {name: old}]",
            &["may be used from other addresses"],
        ),
        (
            "keys: [{name: CI, allowed_ips: [10.0.0.0/8, '::1']}, {name: old}]",
            &["may be used from other addresses"],
        ),
        ("keys: [{name: CI, denied_ips: ['::1']}, {name: old}]", &[]),
        (
            "keys: [{name: CI, expires_at: 1890000000}, {name: old}]",
            &[],
        ),
        ("keys: [{name: CI, active: false}, {name: old}]", &[]),
    ] {
        let plan = planned_with(yaml, &state, false).unwrap();
        assert_eq!(plan.actions[0].line.wider, expected, "{yaml}");
        assert_eq!(plan.is_wider(), !expected.is_empty(), "{yaml}");
    }
}

#[test]
fn thousands_of_keys_that_are_left_are_one_line() {
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
    state.other_keys = Others::default();
    let plan = planned_with("keys: [{name: CI}, {name: old}]", &state, true).unwrap();
    let told = plan.to_string();
    assert_eq!(
        (told.lines().count(), told.lines().last()),
        (21, Some("- and 30 keys more"))
    );
    assert_eq!(plan.removals(), "revokes 50 keys");
}
