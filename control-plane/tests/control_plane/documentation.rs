//! Tests that documents match the code: their tables have a row for each call, each error, each
//! metric and each exit code.

use crate::harness::Plane;
use latchkey_api::ERRORS;
use latchkey_cli::EXIT_CODES;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the workspace's directory.
pub(crate) fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest
        .ancestors()
        .find(|directory| directory.join("Cargo.lock").exists());
    root.expect("the workspace has a lock file").to_owned()
}

#[tokio::test]
async fn every_metric_is_documented() {
    let page = workspace().join("docs/operations/metrics-and-logs.md");
    let page = fs::read_to_string(page).unwrap();
    let plane = Plane::start().await;
    let metrics = plane.request(Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let types = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let mut documented = 0;
    for (name, kind) in types.filter_map(|line| line.split_once(' ')) {
        let end = if kind == "counter" { "_total" } else { "" };
        let name = format!("`{name}{end}");
        assert!(
            [format!("{name}`"), format!("{name}{{")]
                .iter()
                .any(|name| page.contains(name)),
            "the page has no {name}`"
        );
        documented += 1;
    }
    assert!(documented > 30, "only {documented} metrics are found");
}

/// Compares the table of calls with the operations of the description and their permissions.
#[tokio::test]
async fn every_call_is_documented() {
    let page = workspace().join("docs/api-reference.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("<!-- calls -->").unwrap();
    let (table, _) = rest.split_once("<!-- /calls -->").unwrap();
    let plane = Plane::start().await;
    let description = plane.request(Method::GET, "/openapi.json").send().await;
    let description: Value = description.unwrap().json().await.unwrap();
    let mut calls = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let call = format!("`{} {path}`", method.to_uppercase());
            let row = table.lines().find(|line| line.contains(&call));
            let row = row.unwrap_or_else(|| panic!("no row has {call}"));
            let permission = row.split(" | ").nth(1).unwrap();
            let permissions = operation.pointer("/security/0/credential");
            match permissions.map(|permissions| permissions[0].as_str()) {
                Some(Some(needed)) => assert_eq!(permission, format!("`{needed}`"), "{call}"),
                Some(None) => assert!(["any", "a session"].contains(&permission), "{call}"),
                None => assert_eq!(permission, "none", "{call}"),
            }
            calls += 1;
        }
    }
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let documented = methods.map(|method| table.matches(&format!("`{method} /")).count());
    assert_eq!(documented.iter().sum::<usize>(), calls);
}

/// Compares the table of errors with the API's catalogue.
#[test]
fn every_error_is_documented() {
    let page = fs::read_to_string(workspace().join("docs/api-reference.md")).unwrap();
    let (_, section) = page.split_once("\n## Errors\n").unwrap();
    let mut documented = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let (statuses, codes) = row.trim_matches(['|', ' ']).split_once(" | ").unwrap();
        let statuses = statuses
            .split([',', ':', ' '])
            .filter_map(|word| word.parse::<u16>().ok());
        let codes = codes.split('`').skip(1).step_by(2);
        let codes = codes.filter(|code| !code.contains(char::is_uppercase));
        let codes: Vec<_> = codes.collect();
        documented
            .extend(statuses.flat_map(|status| codes.iter().map(move |code| (status, *code))));
    }

    let errors: BTreeSet<_> = ERRORS
        .iter()
        .map(|row| (row.status.as_u16(), row.code))
        .collect();
    let missing: Vec<_> = errors.difference(&documented).collect();
    assert!(missing.is_empty(), "the page has no {missing:?}");
    let codes: BTreeSet<_> = errors.iter().map(|(_, code)| code).collect();
    let unknown = documented.iter().find(|(_, code)| !codes.contains(code));
    assert_eq!(unknown, None, "the page has an error that does not exist");
}

/// Compares the statuses of the description's error responses with the API's catalogue.
#[tokio::test]
async fn every_error_status_is_described() {
    let plane = Plane::start().await;
    let description = plane.request(Method::GET, "/openapi.json").send().await;
    let description: Value = description.unwrap().json().await.unwrap();
    let mut described = BTreeSet::new();
    for operations in description["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            let statuses = operation["responses"].as_object().unwrap().keys();
            described.extend(statuses.filter_map(|status| status.parse::<u16>().ok()));
        }
    }
    described.retain(|status| *status >= 400);

    let statuses = ERRORS.iter().map(|row| row.status.as_u16());
    // The description's text states when a response is 405, as no call has one.
    let statuses: BTreeSet<_> = statuses.filter(|status| *status != 405).collect();
    assert_eq!(described, statuses);
}

#[test]
fn every_exit_code_is_documented() {
    let page = fs::read_to_string(workspace().join("docs/cli.md")).unwrap();
    let codes = EXIT_CODES
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once("  "));
    let codes: Vec<_> = codes.map(|(code, _)| code).collect();
    assert_eq!(codes.len(), 10, "{EXIT_CODES}");
    for code in codes {
        assert!(
            page.contains(&format!("\n| {code} | ")),
            "no row has {code}"
        );
    }
}
