//! Users without a mouse, without scripts, and in another time zone.

use latchkey_tests::keys;
use serde_json::json;

use super::start;
use super::wizard::{LATER_STEPS, goes_on_to_the_last_step};

#[tokio::test]
async fn key_is_created_by_keyboard() {
    let (gateway, browser) = start().await;
    gateway
        .control_plane
        .create_key(json!({ "name": "taken", "scope": ["dns"] }))
        .await
        .unwrap();
    let press = async |words: &str, key: &str| {
        browser.tabs_to(words).await;
        browser.types(key).await;
    };
    browser.reload().await;
    press("Create a key", keys::ENTER).await;
    browser.arrives_at("/console/keys/new").await;
    browser.tabs_to("Name").await;
    browser.types("CI").await;
    press("Next", keys::ENTER).await;
    browser.sees(LATER_STEPS[0]).await;
    press("dns", keys::SPACE).await;
    press("Next", keys::ENTER).await;
    browser.sees(LATER_STEPS[1]).await;
    press("dns_manager", keys::SPACE).await;
    press("Next", keys::ENTER).await;
    browser.sees(LATER_STEPS[2]).await;
    browser.tabs_to("Requests a minute").await;
    browser.types("60").await;
    press("Create the key", keys::ENTER).await;
    browser.sees("I have stored the key").await;
    let secret = browser.texts("#secret").await.remove(0);
    assert_eq!(
        gateway.ask("/", Some(&secret)).await.headers["x-ratelimit-limit"],
        "60"
    );
    press("I have stored the key", keys::SPACE).await;
    press("Done", keys::ENTER).await;
    browser.sees("Revoke this key").await;
    let id = browser
        .path()
        .await
        .rsplit('/')
        .next()
        .unwrap()
        .trim_end_matches('?')
        .to_owned();
    let made = gateway.control_plane.key(&id).await.unwrap();
    assert_eq!(
        (&made["name"], &made["scope"], &made["roles"]),
        (&json!("CI"), &json!(["dns"]), &json!(["dns_manager"]))
    );
}

#[tokio::test]
async fn key_is_created_without_scripts() {
    let (gateway, browser) = start().await;
    browser.without_script().await.unwrap();
    browser.reload().await;
    browser.press("Create the first key").await;
    browser.fill("Name", "CI").await;
    goes_on_to_the_last_step(&browser).await;
    assert!(
        !browser.offers("Add an address").await,
        "it does nothing without a script"
    );
    browser.press("Create the key").await;
    browser.sees("I have stored the key").await;
    assert!(!browser.offers("Copy").await);
    let secret = browser.texts("#secret").await.remove(0);
    assert_eq!(gateway.ask("/", Some(&secret)).await.status, 200);
    browser.tick("I have stored the key").await;
    browser.press("Done").await;

    let confirm = "Type the key's name to confirm: CI";
    browser.fill(confirm, "CD").await;
    browser.press("Revoke this key").await;
    browser.sees("This is not the name of the key.").await;
    assert_eq!(gateway.ask("/", Some(&secret)).await.status, 200);
    browser.fill(confirm, "CI").await;
    browser.press("Revoke this key").await;
    browser.sees("Revoked. In force on 1 of 1 node").await;
    assert_eq!(gateway.ask("/", Some(&secret)).await.code(), "invalid_key");
    let ran = browser.run("return typeof htmx", vec![]).await.unwrap();
    assert_eq!(ran, "undefined", "there was a script");
}

#[tokio::test]
async fn times_are_local_over_utc() {
    let (gateway, browser) = start().await;
    let end = "2099-12-31T23:59:59Z";
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI", "expires_at": end }))
        .await
        .unwrap();
    let page = format!("/console/keys/{}", key.key_id);
    for (zone, shown) in [
        ("Pacific/Auckland", "Jan 1, 2100, 12:59 PM"),
        ("America/New_York", "Dec 31, 2099, 6:59 PM"),
        ("UTC", "Dec 31, 2099, 11:59 PM"),
    ] {
        browser.live_in(zone).await.unwrap();
        browser.open(&page).await;
        browser.sees(shown).await;
        let script = "return document.querySelector(`time[datetime=\"${arguments[0]}\"]`).title";
        let hover = browser.run(script, vec![json!(end)]).await.unwrap();
        assert_eq!(hover, "2099-12-31 23:59:59 UTC", "in {zone}");
    }
    // Content that a script has inserted is correct as well.
    browser.live_in("Pacific/Auckland").await.unwrap();
    browser.open("/console/nodes").await;
    browser.sees("on 1 of 1 node").await;
    browser.hears_from("/console/nodes", 1).await;
    browser.no_longer_sees("UTC").await;
}
