//! Tests `latchkey apply` against a control plane.

use super::{Person, mode};
use crate::harness::{EMAIL, Plane};
use serde_json::json;
use std::fs;

const FILE: &str = "
tiers:
- {name: free, limits: {minute: 10}}
- {name: basic, limits: {minute: 100}}
- {name: pro, limits: {minute: 1000, day: 50000}}
- {name: enterprise, limits: {minute: 10000}}
services: [{name: dns, description: Zones}]
subaccounts: [{name: dev}, {name: prod}]
users:
- {email: admin@localhost}
- {email: Ops@b.c, roles: [dns_manager], subaccounts: [dev], disabled: true, password_env: OPS_PASSWORD}
routes:
  unmatched: deny
  rules:
  - {path: {exact: /health}, public: true}
  - {path: {template: '/zones/{zone}'}, methods: [GET], service: dns, permission: 'dns:read'}
keys:
- name: CI
  description: for CI
  tier: pro
  scope: [dns]
  roles: [dns_manager]
  subaccounts: [prod, dev]
  allowed_ips: [10.0.0.0/8, {cidr: 192.0.2.1, enabled: false}]
  expires_at: 2030-01-01T00:00:00Z
  limits: {minute: 5}
  save: ci.pak
- {name: off, active: false, save: off.pak}
";

const PLAN: &str = "~ tier pro: limits 1000 a minute → 1000 a minute, 50000 a day
+ service dns
+ subaccount dev
+ subaccount prod
+ user ops@b.c
~ routes: 0 rules → 2 rules, unmatched valid_key → deny
    + rule 1: exact /health, public
    + rule 2: GET template /zones/{zone}, service dns, permission dns:read
    ! /health (any method) becomes public
+ key CI
+ key off
";

fn ops(plane: &Plane) -> Person {
    Person::admin(plane).with("OPS_PASSWORD", "correct horse battery")
}

#[tokio::test]
async fn a_file_applied_again_changes_nothing() {
    let plane = Plane::start().await;
    let person = ops(&plane);
    let file = person.file("latchkey.yaml", FILE);
    let apply = ["apply", "-f", &file];
    let dry_run = ["apply", "--dry-run", "-f", &file];

    let revision = plane.store().revision();
    let output = person.run(&dry_run).await;
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (5, PLAN, "")
    );
    assert_eq!(
        plane.store().revision(),
        revision,
        "a dry run changes nothing"
    );
    assert!(!person.path("ci.pak").exists());

    assert_eq!(person.run(&apply).await.done(), PLAN);
    let revision = plane.store().revision();
    assert_eq!(person.run(&apply).await.done(), "nothing to do\n");
    assert_eq!(person.run(&dry_run).await.done(), "nothing to do\n");
    assert_eq!(plane.store().revision(), revision);

    let key = fs::read_to_string(person.path("ci.pak")).unwrap();
    assert!(
        key.starts_with("lk_live_") && key.ends_with('\n') && mode(&person.path("ci.pak")) == 0o600
    );
    let keys = person.json(&["key", "list"]).await;
    let [off, ci] = [&keys["keys"][0], &keys["keys"][1]];
    assert_eq!(
        (&off["name"], &off["active"]),
        (&json!("off"), &json!(false))
    );
    assert_eq!(
        (&ci["tier"], &ci["scope"], &ci["limits"]["minute"]),
        (&json!("pro"), &json!(["dns"]), &json!(5))
    );
    assert_eq!(ci["allowed_subaccounts"].as_array().unwrap().len(), 2);
    let users = person.json(&["user", "list"]).await;
    let ops = users["users"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["email"] == "ops@b.c")
        .unwrap();
    assert_eq!(
        (&ops["disabled"], &ops["roles"]),
        (&json!(true), &json!(["dns_manager"]))
    );
}

/// Items that the file does not have are kept, or pruned on request.
#[tokio::test]
async fn changed_items_are_applied_others_kept() {
    let plane = Plane::start().await;
    let person = ops(&plane);
    let file = person.file("latchkey.yaml", FILE);
    person.run(&["apply", "-f", &file]).await.done();
    let client = plane.log_in().await;
    client.key("by hand").await;

    let changed = FILE
        .replace("limits: {minute: 5}", "limits: {minute: 9}")
        .replace("active: false, ", "");
    let changed = changed
        .replace("- {name: off, save: off.pak}\n", "")
        .replace("{name: dev}, ", "");
    let changed = changed
        .replace("subaccounts: [dev], ", "")
        .replace("subaccounts: [prod, dev]\n", "tier: pro\n");
    let changed = changed.replacen("  tier: pro\n", "", 1);
    let file = person.file("latchkey.yaml", &changed);
    let output = person.run(&["apply", "-f", &file]).await.done();
    assert_eq!(
        output,
        "~ key CI: limits.minute 5 → 9\n    ! more requests a minute\n\
         = 1 subaccount is not in the file; --prune would delete it: dev\n\
         = 2 keys are not in the file; --prune would revoke them: by hand, off\n"
    );
    let output = person.run(&["apply", "-f", &file, "--prune"]).await;
    output.failed(
        2,
        "this revokes 2 keys, deletes 1 subaccount, which requires --yes; nothing was changed",
    );
    assert_eq!(client.total().await, 3);
    let output = person
        .run(&["apply", "-f", &file, "--prune", "--yes"])
        .await
        .done();
    assert_eq!(output, "- key off\n- key by hand\n- subaccount dev\n");
    assert_eq!(client.total().await, 1);
    assert_eq!(
        person.run(&["apply", "-f", &file, "--prune"]).await.done(),
        "nothing to do\n"
    );
    let output = person.json(&["apply", "-f", &file]).await;
    assert_eq!(output, json!({"dry_run": false, "changes": [], "left": []}));
}

#[tokio::test]
async fn infeasible_plan_changes_nothing() {
    let plane = Plane::start().await;
    let person = ops(&plane);
    plane.log_in().await.key("CI").await;
    let revision = plane.store().revision();
    person.file("off.pak", "");
    let output = person
        .run(&["apply", "-f", &person.file("latchkey.yaml", FILE)])
        .await;
    output.failed(
        2,
        "nothing was changed, because this is impossible:\n! key CI: tier, scope, roles, \
         subaccounts differ, which",
    );
    output.failed(
        2,
        "\n! key off: off.pak exists already and is not overwritten",
    );
    let unknown = person.file("unknown.yaml", "keys:\n- name: CI\n  colour: red\n");
    person
        .run(&["apply", "-f", &unknown])
        .await
        .failed(2, "unknown.yaml: keys[0]");
    let two = person.file(
        "two.yaml",
        "keys:\n- {name: a, save: x.pak}\n- {name: b, save: none/x.pak}\n",
    );
    person
        .run(&["apply", "-f", &two])
        .await
        .failed(2, "\n! key b: there is no directory none for none/x.pak");
    assert!(
        !person.path("x.pak").exists(),
        "a file that nothing was saved in"
    );
    assert_eq!(plane.store().revision(), revision);
}

#[tokio::test]
async fn failed_apply_reports_completed_steps() {
    let plane = Plane::start().await;
    let person = ops(&plane);
    let file = "
subaccounts: [{name: dev}]
users: [{email: admin@localhost, disabled: true}]
keys: [{name: CI, save: ci.pak}]
";
    let output = person
        .run(&["apply", "-f", &person.file("latchkey.yaml", file)])
        .await;
    let expected = "latchkey: ~ user admin@localhost: disabled no → yes: 409: The account needs \
    at least one enabled user who holds `*` and may act on all subaccounts.\ndone:\n  + \
    subaccount dev\nnot done:\n  \
                    ~ user admin@localhost: disabled no → yes\n  + key CI\n";
    assert_eq!((output.code, output.stderr.as_str()), (1, expected));
    assert!(!person.path("ci.pak").exists(), "nothing was saved in it");
    assert_eq!(
        plane
            .log_in_as(EMAIL, crate::harness::PASSWORD)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn pruning_spares_caller_and_declared_keys() {
    let plane = Plane::start().await;
    let admin = Person::admin(&plane);
    let client = plane.log_in().await;
    client.user("ops@b.c", json!({"roles": ["admin"]})).await;
    let ops = Person::admin(&plane).with("LATCHKEY_EMAIL", "ops@b.c");
    ops.run(&["key", "create", "CI", "--quiet"]).await.done();
    let applying = admin
        .run(&["key", "create", "CD", "--role", "admin", "--quiet"])
        .await
        .done();
    let keyed = Person::stranger(&plane.http_url()).with("LATCHKEY_TOKEN", applying.trim());
    let revision = plane.store().revision();
    let prune = async |person: &Person, text: &str| {
        person
            .run(&[
                "apply",
                "--prune",
                "--yes",
                "-f",
                &person.file("latchkey.yaml", text),
            ])
            .await
    };

    let output = prune(
        &admin,
        "users: [{email: admin@localhost}]\nkeys: [{name: CI}, {name: CD}]",
    )
    .await;
    output.failed(
        2,
        "\n! user ops@b.c: this would revoke keys of theirs that the file lists: CI\n",
    );
    let output = prune(&admin, "users: [{email: ops@b.c}]").await;
    output.failed(
        2,
        "\n! user admin@localhost: the file is applied as this user or with one of their keys",
    );
    let output = prune(&keyed, "users: [{email: ops@b.c}]\nkeys: [{name: CI}]").await;
    output.failed(
        2,
        "\n! user admin@localhost: the file is applied as this user or with one of their keys",
    );
    output.failed(2, "\n! key CD: the file is applied with this key");
    assert_eq!(plane.store().revision(), revision);

    let output = prune(&admin, "users: [{email: admin@localhost}]")
        .await
        .done();
    assert_eq!(output, "- user ops@b.c and revokes 1 key\n");
    assert_eq!(client.total().await, 1);
}

#[tokio::test]
async fn apply_with_a_key_stays_within_it() {
    let plane = Plane::start().await;
    let admin = Person::admin(&plane);
    let create = [
        "key",
        "create",
        "CD",
        "--role",
        "admin",
        "--tier",
        "free",
        "--expires",
        "2030-01-01T00:00:00Z",
    ];
    let key = admin
        .run(&[&create[..], &["--quiet"]].concat())
        .await
        .done();
    let keyed = Person::stranger(&plane.http_url()).with("LATCHKEY_TOKEN", key.trim());
    let apply = async |text: &str| {
        keyed
            .run(&["apply", "-f", &keyed.file("latchkey.yaml", text)])
            .await
    };
    for (file, reason) in [
        (
            "keys: [{name: CI, tier: pro, save: ci.pak}]",
            "403: Field `tier` must be at most `free`",
        ),
        (
            "keys: [{name: CI, expires_at: 2031-01-01T00:00:00Z, save: ci.pak}]",
            "403: Field `expires_at` must be at most",
        ),
        (
            "keys: [{name: CD, limits: {minute: 11}}]",
            "403: Field `limits.minute` would widen your own API key",
        ),
        (
            "tiers: [{name: free, limits: {minute: 11}}, {name: basic, limits: {}}]",
            "403: Your API key is restricted to",
        ),
    ] {
        let output = apply(file).await;
        assert!(
            output.code != 0 && output.stderr.contains(reason),
            "{file}: {output:?}"
        );
    }
    let output = apply("services: [{name: dns}]\nkeys: [{name: CI, save: ci.pak}]")
        .await
        .done();
    assert_eq!(
        output,
        "+ service dns\n+ key CI\n= 1 key is not in the file; --prune would revoke it: CD\n"
    );
    let shown = admin.json(&["key", "show", "CI"]).await;
    assert_eq!(
        (&shown["tier"], &shown["expires_at"]),
        (&json!("free"), &json!("2030-01-01T00:00:00Z"))
    );
}

#[tokio::test]
async fn undeclared_keys_are_summed() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    plane.create_keys("k", 2_001).await;
    let file = person.file("latchkey.yaml", "keys: [{name: k-7}]\n");
    let output = person.run(&["apply", "-f", &file]).await.done();
    assert!(
        output.starts_with("= 2,000 keys are not in the file; --prune would revoke them: "),
        "{output}"
    );
    assert_eq!(output.lines().count(), 2, "{output}");
    let output = person.json(&["apply", "-f", &file]).await;
    assert_eq!(output["left"][0]["count"], 2_000);
    assert_eq!(output["left"][0]["sample"].as_array().unwrap().len(), 10);
    let output = person
        .run(&["apply", "--dry-run", "--prune", "-f", &file])
        .await;
    assert_eq!(
        (output.code, output.stdout.lines().count()),
        (5, 21),
        "{output:?}"
    );
    assert!(
        output.stdout.ends_with("- and 1,980 keys more\n"),
        "{output:?}"
    );
    person
        .run(&["apply", "--prune", "-f", &file])
        .await
        .failed(2, "this revokes 2,000 keys, which requires --yes");
    assert_eq!(plane.log_in().await.total().await, 2_001);
}
