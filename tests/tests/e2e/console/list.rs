//! The list of keys: search and sorting, which are fast for any number of keys.

use std::time::Instant;

use latchkey_policy::key::KeyDigest;
use serde_json::{Value, json};

use super::start;

const KEYS: usize = 10_000;

/// The bound for a click, in milliseconds.
const WITHIN: f64 = 300.0;

/// The bound for the page and everything it loads, in bytes.
const WEIGHT: u64 = 150_000;

const CLICKS: usize = 9;

fn row(number: usize) -> Value {
    let name = format!("Deployment of service {number}");
    json!({
        "description": format!("Made for number {number}, by the import of the test."),
        "sha256": format!("{:?}", KeyDigest::of(name.as_bytes())),
        "name": name,
        "roles": ["dns_manager", "cache_purger"],
        "expires_at": "2099-12-31T00:00:00Z",
    })
}

/// The list arrives quickly and weighs little.
#[tokio::test]
async fn ten_thousand_keys_are_listed_quickly() {
    let (gateway, browser) = start().await;
    let rows: Vec<Value> = (0..KEYS).map(row).collect();
    let began = Instant::now();
    for rows in rows.chunks(1_000) {
        gateway.control_plane.import(json!(rows)).await.unwrap();
    }
    println!("imported within {:?}", began.elapsed());

    // The first page of a user who visits for the first time.
    browser.forget_cache().await.unwrap();
    browser.open("/console/keys").await;
    browser.sees("10,000 keys").await;
    assert_eq!(browser.texts("tbody tr").await.len(), 25);
    let weight = browser.weight().await.unwrap();
    println!("the page weighs {weight} bytes");
    assert!(weight < WEIGHT, "{weight} bytes");

    let mut times = Vec::new();
    for _ in 0..CLICKS {
        times.push(browser.time_of_click("API keys").await.unwrap());
        browser.sees("10,000 keys").await;
    }
    times.sort_by(f64::total_cmp);
    println!("from the click to the page, in ms: {times:.0?}");
    assert!(times[CLICKS / 2] < WITHIN, "{times:.0?}");

    // The same holds for every other page of the list, in every order.
    let names = async || browser.texts("tbody th a").await;
    let first = names().await;
    let time = async |click: &str, path: &str| {
        let time = browser.time_of_click(click).await.unwrap();
        assert!(
            browser.path().await.starts_with(path),
            "{click:?} leads to {}",
            browser.path().await
        );
        println!("{click}: {time:.0} ms");
    };
    time("Next page", "/console/keys?cursor=").await;
    let second = names().await;
    assert_eq!(second.len(), 25);
    assert!(
        second.iter().all(|name| !first.contains(name)),
        "{second:?}"
    );
    time("Name", "/console/keys?sort=name").await;
    let by_name: Vec<_> = names().await;
    let mut sorted: Vec<_> = (0..KEYS)
        .map(|number| format!("Deployment of service {number}"))
        .collect();
    sorted.sort();
    assert_eq!(by_name, sorted[..25]);
    time("Next page", "/console/keys?sort=name&cursor=").await;
    assert_eq!(names().await, sorted[25..50]);

    browser.open("/console/keys").await;
    browser.fill("Search", "number 4711,").await;
    browser.sees("1 key").await;
    assert_eq!(browser.texts("tbody th").await.len(), 1);
    browser.sees("Deployment of service 4711").await;
}

#[tokio::test]
async fn keys_are_searched_filtered_and_sorted() {
    let (gateway, browser) = start().await;
    for (name, roles) in [
        ("Bravo", json!(["dns_manager"])),
        ("Alpha", json!([])),
        ("Charlie", json!(["dns_manager"])),
    ] {
        gateway
            .control_plane
            .create_key(json!({ "name": name, "roles": roles }))
            .await
            .unwrap();
    }
    let names = async || browser.texts("tbody th a").await;
    browser.reload().await;
    browser.sees("3 keys").await;
    browser.press("Name").await;
    browser.arrives_at("/console/keys?sort=name").await;
    assert_eq!(names().await, ["Alpha", "Bravo", "Charlie"]);
    browser.press("Name ▲").await;
    browser.arrives_at("/console/keys?sort=-name").await;
    assert_eq!(names().await, ["Charlie", "Bravo", "Alpha"]);

    browser.fill("Role", "dns_manager").await;
    browser.sees("2 keys").await;
    assert_eq!(names().await, ["Charlie", "Bravo"]);
    browser.fill("Search", "brav").await;
    browser.sees("1 key").await;
    assert_eq!(names().await, ["Bravo"]);
    // The search is part of the address.
    browser.reload().await;
    assert_eq!(names().await, ["Bravo"]);
    assert_eq!(browser.value("Search").await, "brav");

    browser.fill("Search", "nobody has this name").await;
    browser.sees("No keys match.").await;
    browser.press("Show all keys").await;
    browser.sees("3 keys").await;
    assert!(browser.complaints().await.unwrap().is_empty());
}
