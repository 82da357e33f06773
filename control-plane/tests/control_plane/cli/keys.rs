//! Tests `latchkey key` against a control plane.

use super::{Person, mode};
use crate::harness::Plane;
use crate::node::Node;
use serde_json::json;
use std::fs;

/// Registers the services that scopes refer to.
async fn register(person: &Person) {
    for service in ["dns", "cdn"] {
        person.run(&["service", "create", service]).await.done();
    }
}

/// A script gets nothing but the key.
#[tokio::test]
async fn new_key_is_shown_once() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let quiet = person.run(&["key", "create", "CI", "--quiet"]).await.done();
    let key = quiet.strip_suffix('\n').unwrap();
    assert!(key.starts_with("lk_live_") && key.len() == 40, "{quiet}");
    register(&person).await;
    let all = [
        "--environment",
        "test",
        "--tier",
        "pro",
        "--scope",
        "dns,cdn",
        "--role",
        "dns_manager",
        "--permission",
    ];
    let more = [
        "cache:purge",
        "--allow-ip",
        "10.0.0.0/8",
        "--expires",
        "2030-01-01T00:00:00Z",
        "--limit",
        "day=5",
    ];
    let output = person
        .run(
            &[
                &["key", "create", "CD", "--description", "a\nb"],
                &all[..],
                &more[..],
            ]
            .concat(),
        )
        .await;
    let output = output.done();
    for line in [
        "NAME             CD\n",
        "DESCRIPTION      a\\nb\n",
        "ENVIRONMENT      test\n",
        "SCOPE            dns, cdn\n",
        "LIMITS           1000 a minute, 5 a day\n",
        "EXPIRES          2030-01-01 00:00\n",
        "\nThe secret is shown only once.\n",
    ] {
        assert!(output.contains(line), "{line} is not in {output}");
    }
    assert_eq!(
        output.matches("lk_test_").count(),
        2,
        "masked, and once in full: {output}"
    );
    let shown = person.run(&["key", "show", key_id(&output)]).await.done();
    assert!(
        shown.contains("PERMISSIONS      cache:purge\n") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    let list = person.run(&["key", "list"]).await.done();
    let lines: Vec<_> = list
        .lines()
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(lines, ["NAME", "CD", "CI"]);
    assert!(!list.contains(key));
}

fn key_id(output: &str) -> &str {
    output
        .lines()
        .find_map(|line| line.strip_prefix("ID "))
        .unwrap()
        .trim()
}

/// The key is saved before it is printed, and no file is overwritten.
#[tokio::test]
async fn new_key_is_saved_without_overwriting() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let output = person
        .run(&["key", "create", "CI", "--save", "ci.pak"])
        .await
        .done();
    let saved = fs::read_to_string(person.path("ci.pak")).unwrap();
    let key = saved.strip_suffix('\n').unwrap();
    assert!(key.starts_with("lk_live_") && key.len() == 40);
    assert_eq!(mode(&person.path("ci.pak")), 0o600);
    assert!(
        output.ends_with("Saved to ci.pak.\n") && !output.contains(key),
        "{output}"
    );
    let output = person
        .json(&["key", "create", "JSON", "--save", "json.pak"])
        .await;
    assert_eq!(
        (&output["name"], output.get("api_key")),
        (&json!("JSON"), None)
    );

    person
        .run(&["key", "create", "CD", "--save", "ci.pak"])
        .await
        .failed(2, "ci.pak: exists already");
    assert_eq!(fs::read_to_string(person.path("ci.pak")).unwrap(), saved);
    assert_eq!(plane.log_in().await.total().await, 2, "nothing was made");
    person
        .run(&["key", "create", "CI", "--save", "again.pak"])
        .await
        .failed(8, "409: ");
    assert!(!person.path("again.pak").exists(), "nothing was saved");
}

#[tokio::test]
async fn unprintable_new_key_is_revoked() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    for arguments in [
        &["key", "create", "CI"][..],
        &["key", "create", "CI", "--quiet"],
    ] {
        let output = person.run_unheard(arguments).await;
        output.failed(1, "was revoked, because its secret was never shown");
        assert_eq!(plane.log_in().await.total().await, 0);
    }
    let output = person
        .run_unheard(&["key", "create", "CI", "--save", "ci.pak"])
        .await;
    assert_eq!(
        (output.code, plane.log_in().await.total().await),
        (0, 1),
        "it is saved, which is what counts"
    );
    let output = person.run_unheard(&["key", "list"]).await;
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (1, ""),
        "whoever closed it knows"
    );
}

#[tokio::test]
async fn a_key_is_edited_and_revoked() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let client = plane.log_in().await;
    let [one, two] = [client.key("one").await, client.key("two").await];
    let arguments = [
        "--name",
        "uno",
        "--expires",
        "2030-01-01T00:00:00Z",
        "--limit",
        "minute=7",
        "--deny-ip",
        "::1",
    ];
    let output = person
        .run(&[&["key", "edit", &one], &arguments[..], &["--disable"]].concat())
        .await
        .done();
    for line in [
        "NAME             uno\n",
        "STATE            disabled\n",
        "DENIED IPS       ::1/128\n",
    ] {
        assert!(output.contains(line), "{output}");
    }
    assert!(
        output.contains("edited: in force on 0 of 0 nodes at revision "),
        "{output}"
    );
    let output = person
        .json(&[
            "key",
            "edit",
            &one,
            "--enable",
            "--no-expiry",
            "--clear-limits",
            "--clear-deny-ips",
        ])
        .await;
    assert_eq!(
        (
            &output["active"],
            &output["expires_at"],
            &output["denied_ips"]
        ),
        (&json!(true), &json!(null), &json!([]))
    );
    person
        .run(&["key", "edit", &one])
        .await
        .failed(2, "there is nothing to edit");

    let output = person
        .run(&["key", "revoke", &one, "key_000000000000", &two])
        .await;
    assert_eq!(output.code, 7, "{output:?}");
    assert!(
        output
            .stderr
            .contains("key_000000000000 is not revoked: 404: "),
        "{output:?}"
    );
    let lines: Vec<_> = output.stdout.lines().collect();
    assert!(
        lines[0].starts_with(&format!(
            "{one} revoked: in force on 0 of 0 nodes at revision "
        )),
        "{output:?}"
    );
    assert!(
        lines[1].starts_with(&format!("{two} revoked: ")) && lines.len() == 2,
        "{output:?}"
    );
    assert_eq!(client.total().await, 0);
}

#[tokio::test]
async fn revoke_all_completes_after_its_output_closes() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let client = plane.log_in().await;
    let [one, two, three] = [
        client.key("one").await,
        client.key("two").await,
        client.key("three").await,
    ];
    let output = person
        .run_unheard(&["key", "revoke", &one, "key_000000000000", &two, &three])
        .await;
    assert_eq!(output.code, 1);
    assert!(
        output
            .stderr
            .starts_with("latchkey: key_000000000000 is not revoked: 404: "),
        "{output:?}"
    );
    assert_eq!(client.total().await, 0);
}

#[tokio::test]
async fn unenforced_revocation_has_its_exit_code() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let client = plane.log_in().await;
    let [one, two] = [client.key("one").await, client.key("two").await];
    let mut node = Node::ready(&plane).await;
    let output = person.run(&["key", "revoke", &one, "--wait", "50"]).await;
    assert_eq!((output.code, output.stderr.as_str()), (4, ""));
    assert!(
        output.stdout.contains("in force on 0 of 1 nodes"),
        "{output:?}"
    );
    node.publish().await;
    let arguments = ["key", "revoke", &two, "--wait", "20000"];
    let (output, _) = tokio::join!(person.run(&arguments), node.publish());
    assert!(output.done().contains("in force on 1 of 1 nodes"));
}

#[tokio::test]
async fn issuing_key_is_created_and_shown() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let file = person.file(
        "issues.yaml",
        "tier: pro\nlimits: {day: 9}\naddresses: [10.0.0.0/8]\n",
    );
    for (name, issues, line) in [
        (
            "one",
            r#"{"expiry_days": 90, "addresses": "all"}"#,
            "ISSUES           from everywhere, for at most 90 days\n",
        ),
        (
            "two",
            &file,
            "ISSUES           tier pro, 9 a day, from 10.0.0.0/8\n",
        ),
    ] {
        let output = person
            .run(&["key", "create", name, "--issues", issues])
            .await
            .done();
        assert!(output.contains(line), "{output}");
    }
    let refused = person
        .run(&["key", "create", "CI", "--issues", r#"{"scope": "all"}"#])
        .await;
    assert!(refused.stderr.contains("issues.scope"), "{refused:?}");
}
