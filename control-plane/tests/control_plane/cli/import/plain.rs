//! Tests imports of plain keys, which are hashed here, and of digests, whose entropy is confirmed.

use super::super::Person;
use super::{csv, sha256};
use crate::harness::Plane;
use reqwest::Method;
use serde_json::json;
use std::fmt::Write as _;

#[tokio::test]
async fn plain_keys_are_hashed_unless_weak() {
    let plane = Plane::start().await;
    let (person, client) = (Person::admin(&plane), plane.log_in().await);
    let good = [
        "d8Fk2LqP9sX3vB7nM1cZ5g",
        "0b5ec4a2-96a6-4a61-8c3c-3fb8dbe1a4e0",
        "8f14e45fceea167a5a36dedd4bea2543",
    ];
    let mut text = "key,name\n".to_owned();
    for (index, key) in good.iter().enumerate() {
        writeln!(text, "{key},good-{index}").unwrap();
    }
    let weak = (0..30)
        .map(|index| format!("pin-{index:06},weak-{index}\n"))
        .collect::<String>();
    let file = person.file("keys.csv", &format!("{text}{weak}"));
    for more in [&[][..], &["--entropy-confirmed"]] {
        let output = person
            .run(&[&["key", "import", "-f", &file], more].concat())
            .await;
        output.failed(
            2,
            "nothing was imported, because 30 rows of the file cannot be imported:",
        );
        assert!(
            output.stderr.contains("line 5, line 6, line 7, line 8, "),
            "{output:?}"
        );
        assert!(
            output
                .stderr
                .contains("line 14 and 20 more: Field `key` can be guessed"),
            "{output:?}"
        );
        assert_eq!(
            output.stderr.matches("can be guessed").count(),
            1,
            "{output:?}"
        );
        assert!(
            !output.stderr.contains("pin-"),
            "no key is shown: {output:?}"
        );
    }
    assert_eq!(client.total().await, 0);
    let output = person
        .run(&["key", "import", "-f", &person.file("keys.csv", &text)])
        .await
        .done();
    assert!(output.starts_with("3 keys imported"), "{output}");
    for key in good {
        let row = json!({"keys": [{"name": "again", "sha256": sha256(key)}]});
        client
            .send(Method::POST, "/v1/keys/import", row)
            .await
            .refused(409, "key_taken");
    }
    for (row, reason) in [
        (format!("{},,both", good[0]), ""),
        (
            format!("{},{},both", good[0], sha256("x")),
            "`key` and `sha256` are both set",
        ),
        (
            "short,,short".to_owned(),
            "`key` must have 8 to 512 visible ASCII characters",
        ),
    ] {
        let file = person.file("keys.csv", &format!("key,sha256,name\n{row}\n"));
        let output = person.run(&["key", "import", "-f", &file]).await;
        assert!(
            output.stderr.contains(reason) && !output.stderr.contains(good[0]),
            "{output:?}"
        );
    }
    let file = person.file("keys.json", "[{\"name\": \"a\", \"key\": 12345678}]");
    person
        .run(&["key", "import", "-f", &file])
        .await
        .failed(2, "`key` must be text");
}

#[tokio::test]
async fn digests_need_an_entropy_confirmation() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let file = person.file("keys.csv", &csv(2_500, None));
    for more in [&[][..], &["--dry-run"]] {
        let output = person
            .run(&[&["key", "import", "-f", &file], more].concat())
            .await;
        output.failed(2, "because 2,500 rows of the file cannot be imported:");
        assert!(
            output
                .stderr
                .contains("line 11 and 2,490 more: Field `sha256` does not show"),
            "{output:?}"
        );
        assert!(
            output.stderr.contains("--entropy-confirmed") && output.stderr.lines().count() == 2,
            "{output:?}"
        );
    }
    person
        .run(&["key", "import", "--entropy-confirmed", "-f", &file])
        .await
        .done();
}
