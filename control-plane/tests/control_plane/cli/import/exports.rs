//! Tests that exported keys can be imported into another control plane.

use super::super::Person;
use super::sha256;
use crate::harness::{Plane, START};
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;

#[tokio::test]
async fn exports_are_imported_elsewhere_without_loss() {
    let (from, to) = (Plane::start().await, Plane::start().await);
    let (person, client) = (Person::admin(&from), from.log_in().await);
    let names = [
        "=cmd|' /C calc'!A0",
        "'=1",
        "-2+3",
        "@SUM(1)",
        " plain",
        "＝1",
        "a, \"b\"; c",
        "é\u{200c}\u{301}",
    ];
    for (index, name) in names.iter().enumerate() {
        let ips = json!([{"cidr": "10.0.0.0/8", "enabled": index % 2 == 0}, {"cidr": "::1/128", "enabled": true}]);
        let body = json!({
            "name": name, "description": format!("+{name}\n\t'"), "limits": {"day": 5}, "tier": "pro", "allowed_ips": ips,
            "expires_at": START + 10_000_000_000, "environment": "test", "permissions": ["dns:read"],
        });
        let made = client.generate(body).await;
        assert!(
            made.status.is_success() || name.contains('\u{200c}'),
            "{made:?}"
        );
    }
    for format in ["csv", "json", "ndjson"] {
        let export = person
            .run(&["key", "export", "--format", format])
            .await
            .done();
        let with_digests = match format {
            "csv" => {
                let mut records = export.split_inclusive('\n').collect::<String>();
                records.insert_str(0, "sha256,");
                let mut out = String::new();
                // The first cell of a record is the mask of the key.
                for (index, line) in records.split_inclusive('\n').enumerate() {
                    if line.starts_with("lk_test_") {
                        write!(out, "{},", sha256(&format!("sk-{format}-{index:010}"))).unwrap();
                    }
                    out.push_str(line);
                }
                out
            }
            _ => {
                let list: Vec<Value> = match format {
                    "json" => serde_json::from_str::<Value>(&export).unwrap()["keys"]
                        .as_array()
                        .unwrap()
                        .clone(),
                    _ => export
                        .lines()
                        .map(|line| serde_json::from_str(line).unwrap())
                        .collect(),
                };
                let lines = list.into_iter().enumerate().map(|(index, mut key)| {
                    key["sha256"] = json!(sha256(&format!("sk-{format}-{index:010}")));
                    key
                });
                if format == "json" {
                    json!(lines.collect::<Vec<_>>()).to_string()
                } else {
                    lines.map(|key| format!("{key}\n")).collect()
                }
            }
        };
        let other = Person::admin(&to);
        let file = other.file(&format!("keys.{format}"), &with_digests);
        other
            .run(&["key", "import", "--entropy-confirmed", "-f", &file])
            .await
            .done();
        let there = to.log_in().await;
        let [before, after] = [&client, &there]
            .map(|client| client.get("/v1/keys?sort=name&limit=100&include=ip_lists"));
        let (before, after) = tokio::join!(before, after);
        let settings = |answer: &crate::harness::Answer| {
            let keys = answer.at("/data/keys").as_array().unwrap().clone();
            let keep = [
                "name",
                "description",
                "limits",
                "tier",
                "allowed_ips",
                "expires_at",
                "environment",
                "permissions",
                "key_prefix",
            ];
            let of = |key: &Value| keep.map(|field| key[field].clone());
            keys.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(settings(&before), settings(&after), "{format}");
        for key in after.at("/data/keys").as_array().unwrap() {
            there
                .send(
                    Method::DELETE,
                    &format!("/v1/keys/{}", key["key_id"].as_str().unwrap()),
                    json!(null),
                )
                .await;
        }
    }
}
