//! Tests of plans for documents and states.

mod keys;
mod unlisted;

use super::*;
use crate::document::parse;
use crate::text;
use serde_json::{Value, json};

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
    let exists = |path: &Path| path == Path::new("taken.pak");
    let is_directory = |path: &Path| path == Path::new("");
    let inputs = PlanInputs {
        prune,
        now: NOW,
        secret: &secret,
        exists: &exists,
        is_directory: &is_directory,
    };
    Plan::new(&document, state, &inputs)
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
fn unchanged_state_needs_no_plan() {
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

/// Items are created in the order in which they need each other.
#[test]
fn missing_items_are_created_in_order() {
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
fn all_plan_errors_are_reported_together() {
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
fn user_is_edited_by_subaccount_names() {
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
fn newly_public_rule_is_marked() {
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
fn only_wider_changes_are_marked() {
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
