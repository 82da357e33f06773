//! Tests the other commands against a control plane: users, subaccounts, roles, tiers, routes,
//! nodes, usage.

use super::Person;
use crate::harness::{EMAIL, Plane};
use crate::node::Node;
use serde_json::json;

#[tokio::test]
async fn users_are_made_and_edited() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    person.run(&["subaccount", "create", "dev"]).await.done();
    let make = [
        "user",
        "create",
        "a@b.c",
        "--role",
        "dns_manager",
        "--subaccount",
        "dev",
    ];
    person
        .run(&make)
        .await
        .failed(2, "cannot ask for a password");
    person
        .run_with(&[&make[..], &["--password-stdin"]].concat(), "short\n")
        .await
        .failed(2, "at least 12 characters");
    let person = person.with("LATCHKEY_NEW_PASSWORD", "a rather long password");
    let output = person.run(&make).await.done();
    assert!(
        output.contains("EMAIL         a@b.c\n") && !output.contains("a rather long password"),
        "{output}"
    );
    assert_eq!(
        plane
            .log_in_as("a@b.c", "a rather long password")
            .await
            .status,
        200
    );

    let id = output
        .lines()
        .find_map(|line| line.strip_prefix("ID "))
        .unwrap()
        .trim();
    let output = person.json(&["user", "show", id]).await;
    let subaccount =
        person.json(&["subaccount", "list"]).await["subaccounts"][0]["subaccount_id"].clone();
    assert_eq!(output["subaccounts"], json!([subaccount]));
    let output = person
        .json(&[
            "user",
            "edit",
            id,
            "--subaccount",
            "all",
            "--clear-roles",
            "--disable",
        ])
        .await;
    assert_eq!(
        (
            &output["subaccounts"],
            &output["roles"],
            &output["disabled"]
        ),
        (&json!("all"), &json!([]), &json!(true))
    );
    let list = person.json(&["user", "list"]).await;
    let admin = list["users"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["email"] == EMAIL)
        .unwrap();
    let admin = admin["user_id"].as_str().unwrap();
    person
        .run(&["user", "edit", admin, "--disable"])
        .await
        .failed(8, "409: The account needs at least one enabled user");
    person.run(&["user", "password", id]).await.done();
}

#[tokio::test]
async fn subaccounts_are_deleted_by_name() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let output = person.run(&["subaccount", "create", "dev"]).await.done();
    assert!(
        output.starts_with("sub_") && output.contains(" created: in force on "),
        "{output}"
    );
    person
        .run(&["subaccount", "create", "dev"])
        .await
        .failed(8, "409: ");
    person
        .run(&["key", "create", "CI", "--subaccount", "dev", "--quiet"])
        .await
        .done();
    person
        .run(&["key", "create", "CD", "--subaccount", "prod"])
        .await
        .failed(7, "no subaccount is named prod");
    person.run(&["subaccount", "delete", "dev"]).await.done();
    assert_eq!(person.json(&["subaccount", "list"]).await["total"], 0);
}

#[tokio::test]
async fn yaml_replaces_tiers_and_routes() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let tiers = "tiers:\n- name: basic\n  limits: {minute: 7}\n- {name: none, limits: {}}\n";
    let output = person
        .run(&["tier", "apply", "-f", &person.file("tiers.yaml", tiers)])
        .await
        .done();
    assert!(
        output.starts_with("tiers replaced: in force on 0 of 0 nodes at revision "),
        "{output}"
    );
    assert_eq!(
        person.run(&["tier", "list"]).await.done(),
        "NAME    LIMITS\nbasic   7 a minute\nnone    -\n"
    );
    let wrong = "rules:\n- {path: {exact: /a}}\n- {path: {prefix: b}}\n";
    let wrong = person
        .run(&["route", "apply", "-f", &person.file("wrong.yaml", wrong)])
        .await;
    wrong.failed(2, "400: rules[2].path.prefix: ");
    let rules = "unmatched: deny\nrules:\n- path: {exact: /health}\n  public: true\n";
    person
        .run_with(&["route", "apply", "-f", "-"], rules)
        .await
        .done();
    let output = person.run(&["route", "show"]).await.done();
    assert!(
        output.contains("1      -      -         exact /health   nothing")
            && output.contains("is refused"),
        "{output}"
    );
    let shown = person.json(&["route", "show"]).await;
    assert_eq!(
        shown,
        json!({"rules": [{"path": {"exact": "/health"}, "public": true}], "unmatched": "deny", "path_case": "refuse"})
    );
    person
        .run(&["route", "apply", "-f", "none.yaml"])
        .await
        .failed(2, "none.yaml: cannot be read: ");
}

#[tokio::test]
async fn nodes_roles_and_usage_are_shown() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let _node = Node::ready(&plane).await;
    let nodes = person.run(&["node", "list"]).await.done();
    assert_eq!(nodes.lines().count(), 2, "{nodes}");
    assert!(nodes.contains("connected   2027-01-15 08:00"), "{nodes}");
    assert!(
        person
            .run(&["role", "list"])
            .await
            .done()
            .contains("\ncache_purger       cache:purge\n")
    );
    let usage = person
        .run(&["usage", "--from", "2027-01-14T00:00:00Z", "--bucket", "day"])
        .await
        .done();
    assert_eq!(usage, "START   KEY   CODE   REQUESTS\n");
    person
        .run(&["usage", "--code", "fine"])
        .await
        .failed(2, "400: Query parameter `code` must be one of");
}
