//! Tests `latchkey key import`.

mod exports;
mod plain;

use super::Person;
use crate::harness::{Client, Plane};
use latchkey_policy::key::KeyDigest;
use serde_json::json;
use std::fmt::Write as _;

fn sha256(key: &str) -> String {
    format!("{:?}", KeyDigest::of(key.as_bytes()))
}

/// Returns a CSV file with this number of keys, whose row `bad` has an invalid address.
fn csv(keys: usize, bad: Option<usize>) -> String {
    let mut text = "sha256,name,allowed_ips\n".to_owned();
    for index in 0..keys {
        let addresses = if bad == Some(index) {
            "10.0.0.1/8"
        } else {
            "10.0.0.0/8;::1/128 off"
        };
        writeln!(
            text,
            "{},k{index},{addresses}",
            sha256(&format!("sk-{index:010}"))
        )
        .unwrap();
    }
    text
}

async fn imports(client: &Client<'_>) -> u64 {
    client
        .get("/v1/audit?action=key.import&limit=1000")
        .await
        .at("/data/entries")
        .as_array()
        .unwrap()
        .len() as u64
}

#[tokio::test]
async fn one_bad_row_imports_nothing() {
    let plane = Plane::start().await;
    let (person, client) = (Person::admin(&plane), plane.log_in().await);
    let file = person.file("keys.csv", &csv(2_500, Some(2_400)));
    let output = person
        .run(&["key", "import", "--entropy-confirmed", "-f", &file])
        .await;
    output.failed(
        2,
        "nothing was imported, because 1 row of the file cannot be imported:",
    );
    assert!(
        output
            .stderr
            .contains("keys.csv, line 2402: Field `allowed_ips[0]` "),
        "{output:?}"
    );
    assert_eq!(client.total().await, 0);

    let file = person.file("keys.csv", &csv(2_500, None));
    client.generate(json!({"name": "k2300"})).await;
    let output = person
        .run(&["key", "import", "--entropy-confirmed", "-f", &file])
        .await;
    output.failed(
        8,
        "keys.csv, line 2302: Field `name` is the name of another API key",
    );
    assert_eq!(
        client.total().await,
        1,
        "the API is asked about all of the file before the first change"
    );
}

#[tokio::test]
async fn import_reports_twenty_bad_rows() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let mut text = "sha256,name,limit_minute,expires_at,active\n".to_owned();
    for index in 0..30 {
        writeln!(text, "{},,,,", sha256(&format!("sk-{index:010}"))).unwrap();
    }
    let output = person
        .run(&[
            "key",
            "import",
            "--entropy-confirmed",
            "-f",
            &person.file("keys.csv", &text),
        ])
        .await;
    output.failed(2, "because 30 rows of the file cannot be imported:");
    assert_eq!(output.stderr.matches("keys.csv, line ").count(), 20);
    assert!(output.stderr.contains("and 10 more"), "{output:?}");

    let [one, two] = [sha256("sk-one-0123"), sha256("sk-two-0123")];
    for (row, reason) in [
        (
            "abc,a,,,".to_owned(),
            "Field `sha256` must be 64 hexadecimal digits",
        ),
        (
            format!("{two},a\u{202e},,,"),
            "Field `name` must not have format characters",
        ),
        (
            format!("{two},key_1,,,"),
            "Field `name` must not have the form of an id",
        ),
        (
            format!("{two},b,many,,"),
            "`limit_minute` must be a whole number",
        ),
        (format!("{two},b,0,,"), "Field `limits.minute` is refused"),
        (
            format!("{two},b,,2020-01-01T00:00:00Z,"),
            "Field `expires_at` ",
        ),
        (format!("{two},b,,,false"), "`active` is false"),
        (
            format!("{one},b,,,"),
            "Field `sha256` is the same as in line 2",
        ),
        (
            format!("{two},e\u{301},,,"),
            "Field `name` is the same as in line 2",
        ),
    ] {
        let text = format!("sha256,name,limit_minute,expires_at,active\n{one},\u{e9},,,\n{row}\n");
        let output = person
            .run(&[
                "key",
                "import",
                "--entropy-confirmed",
                "-f",
                &person.file("keys.csv", &text),
            ])
            .await;
        output.failed(2, reason);
        assert!(output.stderr.contains("keys.csv, line 3: "), "{output:?}");
    }
    assert_eq!(plane.log_in().await.total().await, 0);
}

#[tokio::test]
async fn dry_run_changes_nothing_before_the_import() {
    let plane = Plane::start().await;
    let (person, client) = (Person::admin(&plane), plane.log_in().await);
    let file = person.file("keys.csv", &csv(2_001, None));
    let import = ["key", "import", "--entropy-confirmed", "-f", &file];
    let output = person
        .run(&[&import[..], &["--dry-run"]].concat())
        .await
        .done();
    assert_eq!(
        output,
        "2,001 keys would be imported, 0 skipped; nothing was changed\n"
    );
    assert_eq!(imports(&client).await, 0);
    // An import was interrupted after its first batch.
    let part = person.file("part.csv", &csv(1_000, None));
    person
        .run(&["key", "import", "--entropy-confirmed", "-f", &part])
        .await
        .done();
    person
        .run(&import)
        .await
        .failed(8, "1,000 rows of the file cannot be");
    let again = [&import[..], &["--skip-existing"]].concat();
    let dry = person.json(&[&again[..], &["--dry-run"]].concat()).await;
    assert_eq!(
        dry,
        json!({"dry_run": true, "importable": 1_001, "skipped": 1_000})
    );
    let output = person.run(&[&again[..], &["--progress"]].concat()).await;
    assert!(
        output
            .stdout
            .starts_with("1,001 keys imported, 1,000 skipped: in force on 0 of 0 nodes"),
        "{output:?}"
    );
    assert!(
        output
            .stderr
            .contains("latchkey: 1,000 of 2,001 keys checked\n"),
        "{output:?}"
    );
    assert!(
        output
            .stderr
            .ends_with("latchkey: 2,001 of 2,001 keys imported\n"),
        "{output:?}"
    );
    assert_eq!(client.total().await, 2_001);
    let output = person.json(&again).await;
    assert_eq!(
        (&output["imported"], &output["skipped"], &output["keys"]),
        (&json!(0), &json!(2_001), &json!([]))
    );
    let shown = client.get("/v1/keys?search=k2000&include=ip_lists").await;
    let list = [
        json!({"cidr": "10.0.0.0/8", "enabled": true}),
        json!({"cidr": "::1/128", "enabled": false}),
    ];
    assert_eq!(shown.at("/data/keys/0/allowed_ips"), &json!(list));
}

#[tokio::test]
async fn failed_import_is_repeated_on_request() {
    let plane = Plane::start().await;
    let (person, client) = (Person::admin(&plane), plane.log_in().await);
    let file = person.file("keys.csv", &csv(3, None));
    let import = ["key", "import", "--entropy-confirmed", "-f", &file];
    let made = person.json(&import).await;
    assert_eq!(made["keys"].as_array().unwrap().len(), 3);
    for key in made["keys"].as_array().unwrap() {
        client
            .delete(&format!("/v1/keys/{}", key["key_id"].as_str().unwrap()))
            .await;
    }
    person.run(&import).await.failed(
        8,
        "keys.csv, line 2: Field `sha256` is the digest of an API key that exists or has been \
        revoked",
    );
    let output = person
        .run(&[&import[..], &["--reimport-unused"]].concat())
        .await
        .done();
    assert!(
        output.starts_with("3 keys imported: in force on 0 of 0 nodes"),
        "{output}"
    );
}

#[tokio::test]
async fn import_beyond_key_limit_changes_nothing() {
    let plane = Plane::start().await;
    let (_, admin) = plane
        .log_in()
        .await
        .account("acme", json!({"max_keys": 1_500}))
        .await;
    let person = Person::admin(&plane).with("LATCHKEY_EMAIL", "admin@acme");
    let file = person.file("keys.csv", &csv(1_600, None));
    person
        .run(&["key", "import", "--entropy-confirmed", "-f", &file])
        .await
        .failed(
            6,
            "the account may have 1,500 more keys, but the file has 1,600",
        );
    assert_eq!(admin.total().await, 0);
}

#[tokio::test]
async fn import_completes_after_its_output_closes() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let file = person.file("keys.csv", &csv(3_000, None));
    for json in [&[][..], &["--json"]] {
        let output = person
            .run_unheard(
                &[
                    &[
                        "key",
                        "import",
                        "--entropy-confirmed",
                        "--skip-existing",
                        "-f",
                        &file,
                    ][..],
                    json,
                ]
                .concat(),
            )
            .await;
        assert_eq!((output.code, output.stderr.as_str()), (1, ""));
        assert_eq!(plane.log_in().await.total().await, 3_000);
    }
}

/// Splits batches by their size: a call accepts 8 MiB.
#[tokio::test]
async fn long_lists_use_smaller_batches() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let list: Vec<_> = (0..5_000)
        .map(|n| format!("2001:db8:ffff:ffff:ffff:ffff:{:x}:{:x}", n / 100, n))
        .collect();
    let key = |index| json!({"sha256": sha256(&format!("sk-{index:010}")), "name": format!("k{index}"), "allowed_ips": list});
    let keys: Vec<_> = (0..60).map(key).collect();
    let file = person.file("keys.json", &json!(keys).to_string());
    assert!(std::fs::metadata(&file).unwrap().len() > 8 * 1024 * 1024);
    let output = person
        .run(&["key", "import", "--entropy-confirmed", "-f", &file])
        .await
        .done();
    assert!(output.starts_with("60 keys imported: "), "{output}");
}
