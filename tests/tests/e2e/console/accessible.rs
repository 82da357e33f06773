//! Accessibility of every page, as far as axe-core can check it: by keyboard, with a screen reader,
//! and with poor eyesight.

use latchkey_tests::{Browser, Finding, Gateway, Scheme};
use serde_json::json;

use super::tour::tour;
use super::wizard::LATER_STEPS;
use super::{browser_of, log_in, start};

/// Returns the findings that keep somebody from using the page.
async fn grave(browser: &Browser) -> Vec<String> {
    let findings = browser.findings().await.unwrap();
    let grave = |finding: &Finding| matches!(finding.impact.as_str(), "serious" | "critical");
    findings
        .into_iter()
        .filter(grave)
        .map(|finding| finding.to_string())
        .collect()
}

/// Does the same in light on a wide screen, and in dark on a narrow one. These two show each scheme
/// and each width.
async fn grave_anywhere(browser: &Browser) -> Vec<String> {
    let mut found = Vec::new();
    for (scheme, size) in [(Scheme::Dark, (390, 844)), (Scheme::Light, (1280, 900))] {
        browser.resize(size).await.unwrap();
        browser.prefer(scheme).await.unwrap();
        let findings = grave(browser).await.into_iter();
        found.extend(
            findings.map(|finding| format!("{}, {} wide: {finding}", scheme.as_str(), size.0)),
        );
    }
    found
}

/// Every page is checked in light and in dark.
#[tokio::test]
async fn every_page_is_accessible() {
    let mut gateway = Gateway::start().await;
    let demo = gateway.with_demo_data().await.unwrap();
    let browser = browser_of(&gateway.control_plane, gateway.control_plane.credentials()).await;
    let mut found = Vec::new();
    for path in tour(&browser, &demo).await.values() {
        browser.open(path).await;
        browser.unfold().await;
        found.extend(grave_anywhere(&browser).await);
    }
    browser.press("Log out").await;
    browser.sees("You have logged out.").await;
    found.extend(grave_anywhere(&browser).await);
    log_in(&browser, ("nobody@example.com", "nothing")).await;
    browser.arrives_at("/console/login").await;
    found.extend(grave_anywhere(&browser).await);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Covers the pages that no link leads to.
#[tokio::test]
async fn key_wizard_pages_are_accessible() {
    let (gateway, browser) = start().await;
    gateway
        .control_plane
        .create_key(json!({ "name": "taken", "scope": ["dns"] }))
        .await
        .unwrap();
    gateway
        .control_plane
        .create_subaccount("Shop")
        .await
        .unwrap();
    let mut found = Vec::new();
    browser.open("/console/keys/new").await;
    browser.fill("Name", "taken").await;
    for step in LATER_STEPS {
        browser.press("Next").await;
        browser.sees(step).await;
        browser.unfold().await;
        if step == LATER_STEPS[2] {
            browser.press_in("Deny", "Add an address").await;
            browser.fill("Address or range", "10.0.0.0/33").await;
            browser.sees("“10.0.0.0/33”").await;
        }
        found.extend(grave_anywhere(&browser).await);
    }
    browser.fill("Address or range", "10.0.0.0/8").await;
    browser.press("Create the key").await;
    browser.sees("Description").await;
    found.extend(grave_anywhere(&browser).await);
    browser.fill("Name", "free").await;
    for step in LATER_STEPS {
        browser.press("Next").await;
        browser.sees(step).await;
    }
    browser.press("Create the key").await;
    browser.sees("I have stored the key").await;
    found.extend(grave_anywhere(&browser).await);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
