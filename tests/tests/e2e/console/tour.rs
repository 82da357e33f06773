//! All pages, as a user finds them who follows every link.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use latchkey_tests::{Browser, DemoData};
use serde_json::json;

/// Pages that must exist. Any other page with a link to it is found automatically.
const KNOWN: [&str; 15] = [
    "/console/audit",
    "/console/explain",
    "/console/keys",
    "/console/keys/new",
    "/console/keys/{key}",
    "/console/keys/{key}/edit",
    "/console/keys/{key}/ip-lists",
    "/console/keys/{revoked}",
    "/console/me",
    "/console/nodes",
    "/console/routes",
    "/console/usage",
    "/console/users",
    "/console/users/new",
    "/console/users/{usr}",
];

/// Visits each kind of page once, such as `/console/keys/{key}`. Returns the path of each kind.
pub(crate) async fn tour(browser: &Browser, demo: &DemoData) -> BTreeMap<String, String> {
    let pages = follow(browser, demo).await;
    println!("pages: {:?}", pages.keys());
    let missing: Vec<_> = KNOWN
        .iter()
        .filter(|known| !pages.contains_key(**known))
        .collect();
    assert!(missing.is_empty(), "nothing leads to {missing:?}");
    pages
}

/// Visits the pages of a user who need not reach all of `KNOWN`.
pub(crate) async fn follow(browser: &Browser, demo: &DemoData) -> BTreeMap<String, String> {
    let links = r#"
        return fetch(arguments[0]).then((answer) => answer.ok && answer.text()).then((text) => {
            if (text === false) return null;
            const page = new DOMParser().parseFromString(text, "text/html");
            return [...page.querySelectorAll("a[href^='/console']")].map((link) => link.getAttribute("href"));
        })"#;
    let key = |id: &str| format!("/console/keys/{id}");
    // The pages of a live and of a revoked key differ, so both are visited.
    let from = [
        key(&demo.busy_key),
        key(&demo.revoked_key),
        "/console/keys".to_owned(),
    ];
    let mut pages = BTreeMap::new();
    let mut todo: Vec<String> = from.iter().rev().cloned().collect();
    while let Some(path) = todo.pop() {
        let path = path.split(['?', '#']).next().unwrap().to_owned();
        let kind = if path == from[1] {
            "/console/keys/{revoked}".to_owned()
        } else {
            kind(&path)
        };
        if let Entry::Vacant(new) = pages.entry(kind) {
            let found = browser.run(links, vec![json!(path)]).await.unwrap();
            let found: Option<Vec<String>> = serde_json::from_value(found).unwrap();
            todo.extend(
                found.unwrap_or_else(|| panic!("a link leads to {path}, where nothing is")),
            );
            new.insert(path);
        }
    }
    pages
}

/// Returns a path with each id replaced by its kind.
fn kind(path: &str) -> String {
    let part = |part: &str| match part.split_once('_') {
        Some((kind, rest)) if rest.len() == 12 => format!("{{{kind}}}"),
        _ => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
