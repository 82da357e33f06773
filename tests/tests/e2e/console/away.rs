//! Open pages whose session has ended, or whose control plane does not answer.

use latchkey_tests::{Browser, ControlPlane, http_client};
use serde_json::json;

use super::{SESSION, login_page, start};

/// Ends the session that is open in a browser, without the browser.
async fn end_session(control_plane: &ControlPlane, browser: &Browser) {
    let token = browser.cookie(SESSION).await.unwrap();
    let ended = http_client()
        .delete(control_plane.url("/v1/sessions/current"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(ended.status(), 200);
}

/// Checks that the login page gives its reason, and that logging in leads back to the page.
async fn comes_back(control_plane: &ControlPlane, browser: &Browser, page: &str) {
    browser
        .arrives_at(&login_page(&[("why", "ended"), ("next", page)]))
        .await;
    browser
        .sees("Your session has ended. Log in to continue.")
        .await;
    let (email, password) = control_plane.credentials();
    browser.fill("Email address", email).await;
    browser.fill("Password", password).await;
    browser.press("Log in").await;
    browser.arrives_at(page).await;
}

#[tokio::test]
async fn ended_session_returns_to_its_page() {
    let (gateway, browser) = start().await;
    let control_plane = &gateway.control_plane;

    browser.open("/console/keys/new").await;
    browser.fill("Name", "CI").await;
    end_session(control_plane, &browser).await;
    browser.press("Next").await;
    comes_back(control_plane, &browser, "/console/keys/new").await;

    browser.open("/console/keys").await;
    browser.sees("There are no API keys yet.").await;
    end_session(control_plane, &browser).await;
    browser.fill("Search", "C").await;
    comes_back(control_plane, &browser, "/console/keys").await;

    browser.open("/console/users").await;
    end_session(control_plane, &browser).await;
    browser.fill("Search", "C").await;
    comes_back(control_plane, &browser, "/console/users").await;

    // This page sends requests without any action of the user.
    browser.open("/console/nodes").await;
    browser.sees("on 1 of 1 node").await;
    end_session(control_plane, &browser).await;
    comes_back(control_plane, &browser, "/console/nodes").await;
    browser.sees("on 1 of 1 node").await;
}

#[tokio::test]
async fn ended_session_keeps_typed_ip_rows() {
    let (gateway, browser) = start().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    let page = format!("/console/keys/{}/ip-lists", key.key_id);
    browser.open(&page).await;
    browser.press_in("Deny list", "Add an address").await;
    end_session(&gateway.control_plane, &browser).await;
    browser.fill("Address or range", "10.0.0.0/8").await;
    browser.hears_from("/console/check/ip", 1).await;
    browser.press_in("Allow list", "Add an address").await;
    browser
        .fill_in("Allow list", "Address or range", "192.0.2.0/24")
        .await;
    browser.hears_from("/console/check/ip", 2).await;
    assert_eq!(browser.path().await, page);
    let typed =
        r#"return [...document.querySelectorAll("[name$='.cidr']")].map((field) => field.value)"#;
    assert_eq!(
        browser.run(typed, vec![]).await.unwrap(),
        json!(["192.0.2.0/24", "10.0.0.0/8"])
    );
    // A request that the user has sent leads to the login page.
    browser.press("Save the lists").await;
    browser.arrives_at(&login_page(&[("why", "ended")])).await;
    browser
        .sees("Your session has ended. Log in to continue.")
        .await;
}

/// The page shows it until the control plane is back.
#[tokio::test]
async fn lost_control_plane_is_shown() {
    let (mut gateway, browser) = start().await;
    browser.press("Nodes").await;
    browser.sees("on 1 of 1 node").await;
    assert!(!browser.text().await.unwrap().contains("does not answer"));
    gateway.control_plane.kill();
    browser.sees("The control plane does not answer.").await;
    browser.sees("on 1 of 1 node").await;
    gateway.control_plane.start().await.unwrap();
    browser.no_longer_sees("does not answer").await;
    browser.sees("on 1 of 1 node").await;
    browser.arrives_at("/console/nodes").await;
}
